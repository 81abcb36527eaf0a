"""Official checkpoints: names, shapes and values agree with the recordings, and malicious files are
rejected without executing code.
"""

import builtins
import codecs
import collections
import contextlib
import io
import json
import os
import pickle
import pickletools
import struct
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.safedreamer.release.checkpoint import infer_sizes, load_official
from agents.safedreamer.release.inert_arrays import CheckpointFormatError, UnsafeCheckpointError
from agents.safedreamer.release.inert_pickle import read_pickle
from tests.examples import examples

EXAMPLES = ("small_vector", "small_vision")


@pytest.fixture(params=EXAMPLES)
def example(request, recordings):
    return recordings / request.param


def write(path, content, protocol=4):
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


def checkpoint(**agent):
    return {"step": 3, "agent": agent, "train_replay": None, "eval_replay": None, "_timestamp": 1.5}


# --- the recordings -------------------------------------------------------------------------------
def test_names_shapes_and_dtypes_are_those_recorded(example):
    expected = {
        name: (tuple(shape), dtype)
        for name, (shape, dtype) in json.loads((example / "params.json").read_text()).items()
    }
    loaded = load_official(example / "official.ckpt")
    assert {
        name: (array.shape, array.dtype.name) for name, array in loaded.agent.items()
    } == expected
    assert loaded.step == 0
    assert not any(array.flags.writeable for array in loaded.agent.values())


def test_values_are_the_parameters_that_the_recorded_arrays_came_from(example):
    """The learned initial state is recorded, and is tanh of its parameter."""
    agent = load_official(example / "official.ckpt").agent
    initial = np.tanh(agent["agent/wm/rssm/initial"])
    recorded = np.load(example / "arrays.npz")["initial_deter"]
    np.testing.assert_allclose(np.broadcast_to(initial, recorded.shape), recorded, rtol=1e-5)


def test_values_equal_those_of_an_ordinary_unpickler(example):
    """Compare with `pickle` itself on this trusted file, with stand-ins for optax's classes."""

    class Trusting(pickle.Unpickler):
        def find_class(self, module, name):
            if module.startswith("optax"):
                fields = {"EmptyState": [], "ScaleByAdamState": ["count", "mu", "nu"]}[name]
                return collections.namedtuple(name, fields)
            return super().find_class(module.replace("numpy.core", "numpy._core"), name)

    with (example / "official.ckpt").open("rb") as file:
        expected = Trusting(file).load()
    loaded = load_official(example / "official.ckpt")
    states = {name for name in expected["agent"] if name.endswith("_opt/state")}
    assert len(states) == 4 and loaded.agent.keys() == expected["agent"].keys() - states
    assert loaded.step == expected["step"]
    for name, array in loaded.agent.items():
        np.testing.assert_array_equal(array, expected["agent"][name])


def test_reading_imports_nothing_that_the_file_names(example):
    code = (
        "import sys, numpy\n"
        "from agents.safedreamer.release.checkpoint import load_official\n"
        "before = set(sys.modules)\n"
        f"load_official({str(example / 'official.ckpt')!r})\n"
        "new = set(sys.modules) - before\n"
        "assert not any(name.startswith(('optax', 'jax', 'numpy.core')) for name in new), new\n"
        "print('quiet')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        timeout=120,
        check=False,
    )
    assert done.stdout.strip() == "quiet", done.stderr


# --- sizes ----------------------------------------------------------------------------------------
def test_sizes_of_the_recordings(recordings):
    common = {
        **{
            "deter": 32,
            "stoch": 4,
            "classes": 5,
            "action_dim": 2,
            "bins": 255,
            "units": 16,
            "head_units": 16,
            "head_layers": 2,
        },
        **{"actor": "agent/task_behavior/safe_ac/actor", "cost_head": True},
    }
    vector = {
        "vectors": {"observation": 12},
        "mlp_units": 24,
        "mlp_layers": 2,
        "lagrange": False,
    }
    no_images = {"images": 0, "image_size": 0, "cnn_depth": 0}
    vision = {"vectors": {}, "mlp_units": 0, "mlp_layers": 0, "lagrange": True}
    images = {"images": 2, "image_size": 64, "cnn_depth": 4}
    for name, specific in (("small_vector", vector | no_images), ("small_vision", vision | images)):
        agent = load_official(recordings / name / "official.ckpt").agent
        assert infer_sizes(agent, stoch=4) == common | specific
        with pytest.raises(ValueError, match="20 is not a square: pass stoch"):
            infer_sizes(agent)
        for stoch in (3, 0, -4):
            with pytest.raises(ValueError, match=f"stoch={stoch} does not divide"):
                infer_sizes(agent, stoch)


def release_params(deter, latents, units, layers, action_dim, cost):
    """Arrays of a vector agent of the given sizes, named as in the release."""
    feat, params = deter + latents, {}

    def put(name, *shape):
        params[name] = np.zeros(shape, np.float32)

    def mlp(path, inputs, width, depth, outputs, out="dist_out/out"):
        for n in range(depth):
            put(f"{path}/h{n}/kernel", inputs if n == 0 else width, width)
        if outputs:
            put(f"{path}/{out}/kernel", width, outputs)

    put("agent/wm/rssm/initial", deter)
    put("agent/wm/rssm/img_in/kernel", latents + action_dim, units)
    put("agent/wm/rssm/img_stats/kernel", units, latents)
    put("agent/wm/rssm/obs_out/kernel", deter + 2 * units, units)
    mlp("agent/wm/enc/mlp", 29, 2 * units, layers + 1, 0)
    mlp("agent/wm/dec/mlp", feat, 2 * units, layers + 1, 29, "dist_observation/out")
    actor = "agent/task_behavior/safe_ac/actor" if cost else "agent/task_behavior/ac/actor"
    heads = {
        "agent/wm/rew": 255,
        "agent/wm/cont": 1,
        actor: action_dim,
        "agent/task_behavior/critic/net": 255,
    }
    for path, outputs in heads.items():
        mlp(path, feat, units, layers, outputs)
    return params


@pytest.mark.parametrize(("latents", "side"), [(48 * 48, 48), (16 * 16, 16)])
def test_published_latents_are_square(latents, side):
    sizes = infer_sizes(release_params(64, latents, 32, 3, 6, cost=False))
    assert (
        sizes["stoch"],
        sizes["classes"],
        sizes["head_layers"],
        sizes["mlp_layers"],
        sizes["action_dim"],
    ) == (
        side,
        side,
        3,
        4,
        6,
    )
    assert sizes["actor"] == "agent/task_behavior/ac/actor" and not sizes["cost_head"]


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("agent/wm/rssm/initial", None, "has no array 'agent/wm/rssm/initial'"),
        ("agent/wm/rew/h0/kernel", (7, 32), "expected 320 inputs"),
        ("agent/wm/rew/h0/kernel", (320,), "expected 2 axes"),
        ("agent/wm/rew/dist_out/out/kernel", (32, 41), "number of bins"),
        ("agent/wm/cont/h2/kernel", (32, 32), "heads differ in size"),
        ("agent/wm/rssm/obs_out/kernel", (65, 32), "the encoder gives 64"),
        (
            "agent/task_behavior/safe_ac/actor/dist_out/out/kernel",
            (32, 4),
            "the actor has 4 outputs",
        ),
        ("agent/wm/dec/mlp/h3/kernel", (64, 64), "encoder and decoder differ"),
    ],
)
def test_arrays_that_do_not_fit_each_other_are_refused(name, shape, message):
    params = release_params(64, 256, 32, 2, 6, cost=True)
    infer_sizes(params)
    if shape is None:
        del params[name]
    else:
        params[name] = np.zeros(shape, np.float32)
    with pytest.raises(CheckpointFormatError, match=message):
        infer_sizes(params)


# --- other encodings of the same content ----------------------------------------------------------
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_arrays_of_all_numeric_types_orders_and_protocols_survive(tmp_path, protocol):
    rng = np.random.default_rng(0)
    arrays = {f"{kind}{order}": np.asarray(rng.normal(size=(3, 4)) * 9, order=order).astype(kind,
        order=order)
              for kind in ("f2", "f4", ">f4", "f8", "i1", "u1", "i4", "i8", "?", "c8")
              for order in "CF"}  # fmt: skip
    if protocol > 2:  # protocol 2 writes empty bytes as a call of a Python 2 class
        arrays["empty"] = np.zeros((0, 3), np.float32)
    arrays |= {"scalar": np.float32(2.5), "zero_axes": np.array(7, np.int32), "plain": 4}
    arrays["shared"] = arrays["f4C"]
    loaded = load_official(write(tmp_path / "c.ckpt", checkpoint(**arrays), protocol)).agent
    assert loaded.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(loaded[name], array)
        assert loaded[name].dtype == np.asarray(array).dtype and loaded[name].shape == np.shape(
            array
        )


def test_jax_arrays_become_numpy_arrays(tmp_path):
    value = jnp.arange(6.0).reshape(2, 3)
    loaded = load_official(write(tmp_path / "c.ckpt", checkpoint(w=value))).agent["w"]
    assert type(loaded) is np.ndarray
    np.testing.assert_array_equal(loaded, np.asarray(value))


@pytest.mark.parametrize("float16", [False, True])
def test_states_of_a_real_optax_chain_as_the_release_builds_it_are_skipped(tmp_path, float16):
    params = {"agent/wm/a": jnp.ones((2, 3)), "agent/wm/b": jnp.zeros(3)}
    optimizer = optax.chain(
        optax.clip_by_global_norm(1000.0), optax.scale_by_adam(eps=1e-8), optax.scale(-1e-4)
    )
    # the release's float16 wrapper
    optimizer = optax.apply_if_finite(optimizer, 1000) if float16 else optimizer
    gradient = {"agent/wm/a": jnp.full((2, 3), 2.0), "agent/wm/b": jnp.full(3, -1.0)}
    _, state = optimizer.update(gradient, optimizer.init(params), params)
    state = jax.tree.map(np.asarray, state)
    agent = {name: np.asarray(value) for name, value in params.items()}
    loaded = load_official(
        write(tmp_path / "c.ckpt", checkpoint(**agent, **{"agent/wm/model_opt/state": state}))
    )
    assert loaded.agent.keys() == agent.keys()
    for name, array in agent.items():
        np.testing.assert_array_equal(loaded.agent[name], array)


# --- malicious files ------------------------------------------------------------------------------
SENTINEL = "SAFEDREAMER_TEST_SENTINEL"


class Call:
    """Pickles as a call of `function` with `args`."""

    def __init__(self, function, *args):
        self.function, self.args = function, args

    def __reduce__(self):
        return self.function, self.args


def set_sentinel(*_):
    os.environ[SENTINEL] = "1"


@pytest.fixture
def sentinel(tmp_path):
    """A file that malicious code would create; the test fails if it exists afterwards."""
    path = tmp_path / "sentinel"
    yield path
    assert not path.exists() and SENTINEL not in os.environ, "code of the file was executed"


def hostile_calls(sentinel):
    touch = f"open({str(sentinel)!r}, 'w').close()"
    return {
        "os.system": (Call(os.system, f"touch {sentinel}"), "system"),
        "builtins.eval": (Call(eval, touch), r"builtin.*\.eval"),
        "builtins.exec": (Call(exec, touch), r"builtin.*\.exec"),
        "builtins.getattr": (Call(getattr, np.ndarray, "tofile"), r"builtin.*\.getattr"),
        "getattr chain": (Call(map, Call(getattr, "", "join"), ["x"]), r"\.(getattr|i?map)"),
        "subprocess": (
            Call(subprocess.check_output, ["touch", str(sentinel)]),
            r"(subprocess|commands)\.check_output",
        ),
        "io.open": (Call(builtins.open, str(sentinel), "w"), r"open"),
        "numpy.load": (Call(np.load, "x.npy", None, True), r"numpy.*load"),
        "numpy.save": (Call(np.save, str(sentinel), np.zeros(1)), r"numpy.*save"),
        "numpy.memmap": (Call(np.memmap, str(sentinel), "u1", "w+", 0, (4,)), r"numpy.*memmap"),
        "numpy runstring": (Call(np.testing.runstring, touch, {}), r"numpy\.testing.*runstring"),
        "codecs.decode": (Call(codecs.decode, b"00", "hex"), r"_codecs\.decode"),
        "pickle.loads": (
            Call(pickle.loads, pickle.dumps(Call(os.system, f"touch {sentinel}"))),
            r"pickle\.loads",
        ),
        "ufunc": (np.add, r"numpy.*_ufunc_reconstruct|numpy.*add"),
        "a class": (collections.OrderedDict(a=1), r"collections\.OrderedDict"),
        "optax function": (Call(optax.adam, 0.1), r"optax\..*adam"),
        "own function": (Call(set_sentinel), "set_sentinel"),
    }


@pytest.mark.parametrize("name", sorted(hostile_calls("x")))
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_calls_are_refused_by_name_and_never_made(tmp_path, sentinel, name, protocol):
    payload, message = hostile_calls(sentinel)[name]
    for content in (payload, checkpoint(w=payload), checkpoint(**{"o/state": (payload,)})):
        with pytest.raises(UnsafeCheckpointError, match=message):
            load_official(write(tmp_path / "c.ckpt", content, protocol))


@pytest.mark.parametrize(
    "array",
    [
        np.array([1, "a"], dtype=object),
        np.array([Call(os.system, "true")], dtype=object),
        np.zeros(2, dtype=[("a", "f4"), ("b", "O")]),
        np.zeros(2, "V8"),
        np.array(["text"]),
        np.array(["2020-01-01"], "M8[D]"),
        np.ma.masked_array([1.0, 2.0], [True, False]),
        np.rec.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f4")]),
    ],
    ids=lambda array: f"{type(array).__name__}-{array.dtype}",
)
@pytest.mark.parametrize("protocol", [2, 5])
def test_arrays_other_than_plain_numeric_ones_are_refused(tmp_path, array, protocol):
    with pytest.raises(CheckpointFormatError):
        load_official(write(tmp_path / "c.ckpt", checkpoint(w=array), protocol))


def text(value):
    return b"\x8c" + bytes([len(value)]) + value.encode()


def stack_global(module, name):
    return text(module) + text(name) + b"\x93"


def op(name):
    return next(opcode.code for opcode in pickletools.opcodes if opcode.name == name).encode(
        "latin1"
    )


def raw(*parts):
    return b"\x80\x04" + b"".join(parts) + b"."


ADAM = stack_global("optax._src.transform", "ScaleByAdamState")
NDARRAY, DTYPE = stack_global("numpy", "ndarray"), stack_global("numpy", "dtype")
RECONSTRUCT = stack_global("numpy.core.multiarray", "_reconstruct")
STATE = b"}" + text("__setstate__") + NDARRAY + b"s"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (raw(b"cos\nsystem\n", text("true"), b"\x85R"), r"os\.system"),
        (raw(b"cposix\nsystem\n"), r"posix\.system"),
        (raw(b"c__builtin__\neval\n"), r"__builtin__\.eval"),
        (raw(stack_global("numpy", "os.system")), r"numpy\.os\.system"),
        (raw(stack_global("numpy", "ndarray.tofile")), r"numpy\.ndarray\.tofile"),
        (raw(stack_global("numpy.core.multiarray", "_reconstruct.__globals__")), "__globals__"),
        (raw(stack_global("optax._src.base", "sys.modules.EmptyState")), r"sys\.modules"),
        (raw(stack_global("optax.os", "system")), r"optax\.os\.system"),
        (raw(stack_global("optax; import os", "EmptyState")), "import os"),
        (raw(stack_global("optax.base\n", "EmptyState")), "EmptyState"),
        (raw(stack_global("numpy.testing._private.utils", "runstring")), "runstring"),
        (raw(stack_global("numpy.f2py", "compile")), r"numpy\.f2py\.compile"),
        (raw(stack_global("numpy.ctypeslib", "load_library")), "load_library"),
        (raw(stack_global("numpy.distutils.exec_command", "exec_command")), "exec_command"),
        (
            raw(stack_global("agents.safedreamer.release.inert_pickle", "read_pickle")),
            "read_pickle",
        ),
        (raw(b"(ios\nsystem\n"), "opcode INST"),
        (raw(b"(", NDARRAY, b"o"), "opcode OBJ"),
        (raw(b"Pid\n"), "opcode PERSID"),
        (raw(text("id"), b"Q"), "opcode BINPERSID"),
        (raw(b"\x82\x01"), "opcode EXT1"),
        (raw(b"\x83\x01\x00"), "opcode EXT2"),
        (raw(b"\x84\x01\x00\x00\x00"), "opcode EXT4"),
        (raw(ADAM, b")}\x92"), "opcode NEWOBJ_EX"),
        (raw(op("NEXT_BUFFER")), "opcode NEXT_BUFFER"),
        (raw(op("EMPTY_SET")), "opcode EMPTY_SET"),
        (raw(NDARRAY, b")\x81"), r"constructs numpy\.ndarray"),
        (raw(DTYPE, STATE, b"b"), r"sets the state of numpy\.dtype"),
        (raw(ADAM, STATE, b"b"), r"sets the state of optax"),
        (raw(b"}", STATE, b"b"), "sets the state of a dict"),
        (raw(ADAM, b")R", b")R"), "calls a Inert"),
        (raw(text("f"), b")R"), "calls a str"),
        (raw(DTYPE, text("O8"), b"\x85R"), "dtype 'O8'"),
        (raw(DTYPE, text("f4,O"), b"\x85R"), "dtype 'f4,O'"),
        (raw(DTYPE, DTYPE, b"\x85R"), "dtype"),
    ],
)  # fmt: skip
def test_crafted_opcodes_are_refused_as_unsafe(tmp_path, data, message):
    path = tmp_path / "c.ckpt"
    path.write_bytes(data)
    with pytest.raises(UnsafeCheckpointError, match=message):
        read_pickle(path)


def test_state_set_on_an_optimizer_record_stays_inert(tmp_path):
    """A crafted __setstate__ or attribute of a record is neither looked up nor assigned."""
    path = tmp_path / "c.ckpt"
    path.write_bytes(raw(ADAM, b")\x81", STATE, b"b"))
    record = read_pickle(path)
    assert vars(record) == {"name": "optax._src.transform.ScaleByAdamState"}
    assert "__setstate__" not in vars(type(record))


def array_bytes(shape, data, dtype="f4", version=1):
    size = b"\x8a\x08"
    shape_ops = b"(" + b"".join(size + struct.pack("<q", n) for n in shape) + b"t"
    dtype_ops = (
        DTYPE
        + text(dtype)
        + b"\x85R(K\x03"
        + text("<")
        + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    )
    start = RECONSTRUCT + NDARRAY + b"K\x00\x85" + b"C\x01b" + b"\x87R"
    return (
        start
        + b"(K"
        + bytes([version])
        + shape_ops
        + dtype_ops
        + b"\x89"
        + b"C"
        + bytes([len(data)])
        + data
        + b"tb"
    )


@pytest.mark.parametrize(
    "shape", [(2**60,), (2**31, 2**31), (1 << 40, 0, 1), (3,), (-1,), (1,) * 70, (2**62, 2**62)]
)
def test_claimed_sizes_allocate_nothing(tmp_path, shape):
    path = tmp_path / "c.ckpt"
    path.write_bytes(raw(array_bytes(shape, b"\0" * 4)))
    with pytest.raises(CheckpointFormatError):
        read_pickle(path)


def test_the_handwritten_array_is_read_when_it_is_consistent(tmp_path):
    path = tmp_path / "c.ckpt"
    path.write_bytes(raw(array_bytes((1,), struct.pack("<f", 2.5))))
    np.testing.assert_array_equal(read_pickle(path), np.array([2.5], np.float32))


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x04\x8e" + struct.pack("<Q", 2**40) + b"x",  # bytes
        b"\x80\x04\x8d" + struct.pack("<Q", 2**62) + b"x",  # text
        b"\x80\x05\x96" + struct.pack("<Q", 2**45) + b"x",  # bytearray
        b"\x80\x04B" + struct.pack("<I", 2**32 - 1) + b"x",
        b"\x80\x04\x8b" + struct.pack("<i", 2**31 - 1) + b"x",  # integer
        b"\x80\x04r" + struct.pack("<I", 2**32 - 1) + b".",  # memo index on an empty stack
    ],
)
def test_claimed_lengths_beyond_the_file_are_plain_errors(tmp_path, data):
    path = tmp_path / "c.ckpt"
    path.write_bytes(data)
    with pytest.raises(CheckpointFormatError, match="not a complete pickle"):
        read_pickle(path)


def test_a_nested_pickle_is_only_bytes(tmp_path, sentinel):
    inner = pickle.dumps(Call(os.system, f"touch {sentinel}"))
    content = {"step": inner, "agent": {}, "_timestamp": 0.0}
    with pytest.raises(CheckpointFormatError, match="'step' is a bytes"):
        load_official(write(tmp_path / "c.ckpt", content))


def test_deep_and_self_containing_structures_end_in_plain_errors(tmp_path):
    path = tmp_path / "c.ckpt"
    deep = b")" + b"\x85" * 200_000
    key = raw(b"}", deep, b"Ns")  # a key whose hash would recurse 200 000 deep
    path.write_bytes(key)
    with pytest.raises(CheckpointFormatError, match="dict key"):
        read_pickle(path)
    loop = raw(b"}\x94", text("step"), b"h\x00s")  # d["step"] = d
    path.write_bytes(loop)
    with pytest.raises(CheckpointFormatError, match="lacks"):
        load_official(path)


def test_a_nest_of_shared_optimizer_states_ends_quickly(tmp_path):
    state = ()
    for _ in range(60):
        state = [state] * 40
    began = time.perf_counter()
    loaded = load_official(write(tmp_path / "c.ckpt", checkpoint(w=1.0, **{"o/state": state})))
    assert time.perf_counter() - began < 5.0 and loaded.agent.keys() == {"w"}


# --- files that are not checkpoints ---------------------------------------------------------------
@pytest.mark.parametrize(
    "data",
    [b"", b"\x89PNG\r\n\x1a\n", b"hello world, this is text", b"\x80\x04", b"\x80\x04.", b"."],
)
def test_files_that_are_no_pickles(tmp_path, data):
    path = tmp_path / "c.ckpt"
    path.write_bytes(data)
    with pytest.raises(CheckpointFormatError, match=str(path)):
        load_official(path)


@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.9, 0.99999])
def test_truncated_checkpoints(tmp_path, recordings, share):
    whole = (recordings / "small_vector" / "official.ckpt").read_bytes()
    path = tmp_path / "c.ckpt"
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(CheckpointFormatError, match="not a complete pickle"):
        load_official(path)


def test_an_absent_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_official(tmp_path / "none.ckpt")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "holds a list"),
        ({"agent": {}}, "lacks .'step', '_timestamp'."),
        ({**checkpoint(), "agent": [1]}, "'agent' is a list"),
        ({**checkpoint(), "step": "3"}, "'step' is a str"),
        ({**checkpoint(), "step": float("nan")}, "finite"),
        ({**checkpoint(), "step": True}, "'step' is a bool"),
        (checkpoint(w="text"), "'w' is a str"),
        (checkpoint(w={"a": 1}), "'w' is a dict"),
    ],
)
def test_pickles_of_something_else(tmp_path, content, message):
    with pytest.raises(CheckpointFormatError, match=message):
        load_official(write(tmp_path / "c.ckpt", content))


# --- any bytes ------------------------------------------------------------------------------------
SMALL = pickletools.optimize(
    pickle.dumps(
        checkpoint(
            w=np.arange(3, dtype=np.float32),
            **{
                "o/state": (
                    optax.EmptyState(),
                    optax.ScaleByAdamState(np.int32(1), {"w": np.ones(3)}, {"w": np.ones(3)}),
                )
            },
        ),
        protocol=4,
    )
)


@settings(max_examples=examples(400), deadline=None)
@given(
    edits=st.lists(
        st.tuples(st.integers(0, len(SMALL) - 1), st.integers(0, 255)), min_size=1, max_size=6
    ),
    cut=st.integers(0, 40),
)
def test_damaged_files_are_read_or_refused_never_anything_else(tmp_path_factory, edits, cut):
    data = bytearray(SMALL)
    for position, value in edits:
        data[position] = value
    path = tmp_path_factory.mktemp("fuzz") / "c.ckpt"
    path.write_bytes(bytes(data[: len(data) - cut]))
    try:
        loaded = load_official(path)
    except CheckpointFormatError:
        return
    assert all(
        isinstance(array, np.ndarray) and array.dtype.kind in "biufc"
        for array in loaded.agent.values()
    )


@settings(max_examples=examples(200), deadline=None)
@given(
    codes=st.lists(
        st.sampled_from([opcode.code.encode("latin1") for opcode in pickletools.opcodes]),
        max_size=30,
    ),
    tail=st.binary(max_size=8),
)
def test_random_opcodes_are_read_or_refused(tmp_path_factory, codes, tail):
    path = tmp_path_factory.mktemp("fuzz") / "c.ckpt"
    path.write_bytes(b"".join(codes) + tail + b".")
    try:
        read_pickle(path)
    except CheckpointFormatError:
        return


def test_the_reader_agrees_with_pickle_on_plain_data(tmp_path):
    content = {
        "a": [1, -2, 3 << 80, 2.5, None, True, (), (1,), ("x", b"y"), {"z": []}],
        "b": "text" * 100,
        "c": list(range(2000)),
    }
    for protocol in (2, 3, 4, 5):
        assert read_pickle(write(tmp_path / "p", content, protocol)) == pickle.load(
            io.BytesIO(pickle.dumps(content, protocol))
        )


def test_the_hostile_payload_does_run_under_pickle(tmp_path):
    """Control: an ordinary unpickler does execute the payload that the tests above reject."""
    target = tmp_path / "touched"
    pickle.loads(pickle.dumps(hostile_calls(target)["os.system"][0]))
    assert target.exists()


def doubled(opcodes: bytes, times: int) -> bytes:
    """`times` nested tuples, each holding its predecessor twice: the repr has 2 ** times parts."""
    return opcodes + b")" + b"2\x86" * times


@pytest.mark.parametrize("times", [24, 200])
def test_a_dtype_named_by_a_doubling_tuple_is_refused_without_its_repr(tmp_path, times):
    file = tmp_path / "x.ckpt"
    file.write_bytes(doubled(b"\x80\x02cnumpy\ndtype\n", times) + b"\x85R.")
    began = time.perf_counter()
    with pytest.raises(CheckpointFormatError) as error:
        read_pickle(file)
    assert time.perf_counter() - began < 1.0 and len(str(error.value)) < 1000


def test_shapes_of_huge_integers_and_repeated_strings_cost_no_more_than_the_file(tmp_path):
    huge = b"\x8b" + (1000).to_bytes(4, "little") + b"\x7f" * 1000  # LONG4
    shape = b"(" + huge + b"q\x00" + b"h\x00" * 1000 + b"t"
    array = (
        b"cnumpy.core.numeric\n_frombuffer\n"
        + b"(C\x01acnumpy\ndtype\n(X\x02\x00\x00\x00u1K\x00K\x01tR"
        + shape
        + b"X\x01\x00\x00\x00CtR."
    )
    text = (
        b"X" + (10_000).to_bytes(4, "little") + b"a" * 10_000 + b"q\x01X\x06\x00\x00\x00latin1q\x02"
    )
    encodes = b"(" + b"c_codecs\nencode\nh\x01h\x02\x86R" * 20_000 + b"t"
    for content in (b"\x80\x03" + array, b"\x80\x02" + text + b"00" + encodes + b"."):
        file = tmp_path / "x.ckpt"
        file.write_bytes(content)
        tracemalloc.start()
        began = time.perf_counter()
        with contextlib.suppress(CheckpointFormatError):
            read_pickle(file)
        assert tracemalloc.get_traced_memory()[1] < 100e6 and time.perf_counter() - began < 20.0
        tracemalloc.stop()
