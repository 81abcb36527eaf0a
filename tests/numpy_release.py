"""Recordings of an agent of any size, computed with plain NumPy from the specification's formulas.

Uses loops, no JAX and no code of `agents`.

`write_recording` draws random parameters under the release's names, computes the quantities of the
first update on a random batch, and writes the files that `official/README.md` describes. Its
purpose is to test the fidelity command on other sizes.
"""

from __future__ import annotations

import dataclasses
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np

Params = dict[str, np.ndarray]
Arrays = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Everything that can differ between recordings."""

    vectors: dict[str, int]
    images: tuple[str, ...] = ()
    actions: int = 3
    deter: int = 10
    stoch: int = 3
    classes: int = 6
    units: int = 7
    head_units: int = 9
    head_layers: int = 3
    mlp_units: int = 8
    mlp_layers: int = 1
    depth: int = 2
    bins: int = 41
    batch: int = 2
    length: int = 5
    horizon: int = 3
    costs: bool = True
    lagrange: bool = False
    pessimistic: bool = True

    @property
    def feat(self) -> int:
        return self.deter + self.stoch * self.classes


# Parameters


class Maker:
    """Random parameters under the release's names."""

    def __init__(self, rng: np.random.Generator):
        self.params: Params = {}
        self.rng = rng

    def put(self, name: str, *shape: int, scale: float = 0.0, around: float = 0.0) -> None:
        fan = np.prod(shape[:-1]) if len(shape) > 1 else 1.0
        values = around + (scale or 1.0 / np.sqrt(fan)) * self.rng.normal(size=shape)
        self.params[name] = values.astype(np.float32)

    def norm(self, name: str, size: int) -> None:
        self.put(f"{name}/norm/scale", size, scale=0.1, around=1.0)
        self.put(f"{name}/norm/bias", size, scale=0.1)

    def block(self, name: str, fan_in: int, fan_out: int) -> None:
        self.put(f"{name}/kernel", fan_in, fan_out)
        self.norm(name, fan_out)

    def linear(self, name: str, fan_in: int, fan_out: int) -> None:
        self.put(f"{name}/kernel", fan_in, fan_out)
        self.put(f"{name}/bias", fan_out, scale=0.1)

    def stack(self, name: str, fan_in: int, units: int, layers: int) -> None:
        for i in range(layers):
            self.block(f"{name}/h{i}", fan_in if i == 0 else units, units)

    def head(self, name: str, s: Sizes, outputs: int) -> None:
        self.stack(name, s.feat, s.head_units, s.head_layers)
        self.linear(f"{name}/dist_out/out", s.head_units, outputs)

    def images(self, s: Sizes) -> int:
        """Create image encoder and decoder; return the size of the embedding."""
        channels = [3 * len(s.images), s.depth, 2 * s.depth, 4 * s.depth, 8 * s.depth]
        for i in range(4):
            self.put(f"agent/wm/enc/cnn/s{i}res/kernel", 4, 4, channels[i], channels[i + 1])
            self.norm(f"agent/wm/enc/cnn/s{i}res", channels[i + 1])
            self.put(
                f"agent/wm/dec/cnn/s{i}res/kernel",
                4,
                4,
                channels[3 - i],
                channels[4 - i],
                scale=0.1,
            )
            if i < 3:
                self.norm(f"agent/wm/dec/cnn/s{i}res", channels[3 - i])
        self.put("agent/wm/dec/cnn/s3res/bias", channels[0], scale=0.1)
        self.linear("agent/wm/dec/cnn/in", s.feat, 16 * channels[4])
        return 16 * channels[4]

    def vectors(self, s: Sizes) -> int:
        """Create vector encoder and decoder; return the size of the embedding."""
        self.stack("agent/wm/enc/mlp", sum(s.vectors.values()), s.mlp_units, s.mlp_layers)
        self.stack("agent/wm/dec/mlp", s.feat, s.mlp_units, s.mlp_layers)
        for key, size in s.vectors.items():
            self.linear(f"agent/wm/dec/mlp/dist_{key}/out", s.mlp_units, size)
        return s.mlp_units


def make_params(s: Sizes, rng: np.random.Generator) -> Params:
    make, flat, rssm = Maker(rng), s.stoch * s.classes, "agent/wm/rssm"
    embed = (make.images(s) if s.images else 0) + (make.vectors(s) if s.vectors else 0)
    make.put(f"{rssm}/initial", s.deter, scale=0.5)
    make.block(f"{rssm}/img_in", flat + s.actions, s.units)
    make.block(f"{rssm}/gru", s.deter + s.units, 3 * s.deter)
    make.block(f"{rssm}/img_out", s.deter, s.units)
    make.linear(f"{rssm}/img_stats", s.units, flat)
    make.block(f"{rssm}/obs_out", s.deter + embed, s.units)
    make.linear(f"{rssm}/obs_stats", s.units, flat)
    make.head("agent/wm/rew", s, s.bins)
    make.head("agent/wm/cont", s, 1)
    actor = actor_path(s)
    make.head(actor, s, s.actions)
    make.linear(f"{actor}/dist_out/std", s.head_units, s.actions)
    for critic in ("critic", *["cost_critic"] * s.costs):
        for copy in ("net", "slow"):
            make.head(f"agent/task_behavior/{critic}/{copy}", s, s.bins)
    if s.costs:
        make.head("agent/wm/cost", s, s.bins)
    if s.lagrange:  # values from later in training; recordings start fresh
        parent = actor.removesuffix("/actor")
        make.params[f"{parent}/lagrange/lagrange_multiplier/value"] = np.array(3.0, np.float32)
        make.params[f"{parent}/lagrange/penalty_multiplier/value"] = np.array(0.1, np.float32)
    return make.params


def actor_path(s: Sizes) -> str:
    return f"agent/task_behavior/{'safe_ac' if s.costs else 'ac'}/actor"


# Layers and distributions


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-x))


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def symlog(x: np.ndarray) -> np.ndarray:
    return np.sign(x) * np.log(1.0 + np.abs(x))


def symexp(x: np.ndarray) -> np.ndarray:
    return np.sign(x) * (np.exp(np.abs(x)) - 1.0)


def twohot_mean(logits: np.ndarray) -> np.ndarray:
    return symexp((softmax(logits) * np.linspace(-20, 20, logits.shape[-1])).sum(-1))


def twohot_log_prob(logits: np.ndarray, x: np.ndarray) -> np.ndarray:
    bins = np.linspace(-20, 20, logits.shape[-1])
    out = np.zeros(x.shape)
    for i in np.ndindex(x.shape):
        target, log_p = symlog(x[i]), np.log(softmax(logits[i]))
        above = int(np.searchsorted(bins, target))
        below = above - 1
        share = (target - bins[below]) / (bins[above] - bins[below])
        out[i] = (1 - share) * log_p[below] + share * log_p[above]
    return out


def sample_onehot(probs: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    classes = probs.shape[-1]
    rows = [np.eye(classes)[rng.choice(classes, p=p / p.sum())] for p in probs.reshape(-1, classes)]
    return np.array(rows).reshape(probs.shape)


class Release:
    """The networks, by the release's parameter names."""

    def __init__(self, params: Params, s: Sizes):
        self.p, self.s = {k: v.astype(np.float64) for k, v in params.items()}, s

    def norm(self, name: str, x: np.ndarray) -> np.ndarray:
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-3)
        return x * self.p[f"{name}/norm/scale"] + self.p[f"{name}/norm/bias"]

    def block(self, name: str, x: np.ndarray) -> np.ndarray:
        y = self.norm(name, x @ self.p[f"{name}/kernel"])
        return y * sigmoid(y)

    def linear(self, name: str, x: np.ndarray) -> np.ndarray:
        return x @ self.p[f"{name}/kernel"] + self.p[f"{name}/bias"]

    def stack(self, name: str, x: np.ndarray) -> np.ndarray:
        i = 0
        while f"{name}/h{i}/kernel" in self.p:
            x = self.block(f"{name}/h{i}", x)
            i += 1
        return x

    def head(self, name: str, feat: np.ndarray) -> np.ndarray:
        return self.linear(f"{name}/dist_out/out", self.stack(name, feat))

    def encode(self, data: Arrays) -> np.ndarray:
        parts = []
        if self.s.images:
            x = np.concatenate([data[k] / 255.0 - 0.5 for k in self.s.images], -1)
            lead, x = x.shape[:2], x.reshape(-1, *x.shape[2:])
            for i in range(4):
                name = f"agent/wm/enc/cnn/s{i}res"
                x = self.norm(name, convolve(x, self.p[f"{name}/kernel"]))
                x = x * sigmoid(x)
            parts.append(x.reshape(*lead, -1))
        if self.s.vectors:
            x = symlog(np.concatenate([data[k] for k in self.s.vectors], -1).astype(np.float64))
            parts.append(self.stack("agent/wm/enc/mlp", x))
        return np.concatenate(parts, -1)

    def decode(self, feat: np.ndarray) -> dict[str, np.ndarray]:
        out = {}
        if self.s.images:
            lead = feat.shape[:-1]
            x = self.linear("agent/wm/dec/cnn/in", feat).reshape(-1, 4, 4, 8 * self.s.depth)
            for i in range(4):
                name = f"agent/wm/dec/cnn/s{i}res"
                x = spread(x, self.p[f"{name}/kernel"])
                if i < 3:
                    x = self.norm(name, x)
                    x = x * sigmoid(x)
            x = (x + self.p["agent/wm/dec/cnn/s3res/bias"] + 0.5).reshape(*lead, 64, 64, -1)
            out |= {key: x[..., 3 * i : 3 * i + 3] for i, key in enumerate(self.s.images)}
        if self.s.vectors:
            x = self.stack("agent/wm/dec/mlp", feat)
            out |= {
                key: self.linear(f"agent/wm/dec/mlp/dist_{key}/out", x) for key in self.s.vectors
            }
        return out

    def probs(self, stats: str, x: np.ndarray) -> np.ndarray:
        raw = self.linear(f"agent/wm/rssm/{stats}", x)
        return (
            0.99 * softmax(raw.reshape(*raw.shape[:-1], self.s.stoch, self.s.classes))
            + 0.01 / self.s.classes
        )

    def prior(self, deter: np.ndarray) -> np.ndarray:
        return self.probs("img_stats", self.block("agent/wm/rssm/img_out", deter))

    def posterior(self, deter: np.ndarray, embed: np.ndarray) -> np.ndarray:
        return self.probs(
            "obs_stats", self.block("agent/wm/rssm/obs_out", np.concatenate([deter, embed], -1))
        )

    def next_deter(self, deter: np.ndarray, stoch: np.ndarray, action: np.ndarray) -> np.ndarray:
        action = action / np.maximum(1.0, np.abs(action))
        x = self.block(
            "agent/wm/rssm/img_in", np.concatenate([stoch.reshape(len(stoch), -1), action], -1)
        )
        gates = self.norm(
            "agent/wm/rssm/gru", np.concatenate([deter, x], -1) @ self.p["agent/wm/rssm/gru/kernel"]
        )
        reset, candidate, update = np.split(gates, 3, -1)
        candidate, update = np.tanh(sigmoid(reset) * candidate), sigmoid(update - 1.0)
        return update * candidate + (1.0 - update) * deter

    def initial(self) -> tuple[np.ndarray, np.ndarray]:
        deter = np.tanh(self.p["agent/wm/rssm/initial"])
        return deter, np.eye(self.s.classes)[self.prior(deter).argmax(-1)]

    def actor(self, feat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        name = actor_path(self.s)
        x = self.stack(name, feat)
        std = 0.1 + 0.9 * sigmoid(self.linear(f"{name}/dist_out/std", x) + 2.0)
        return np.tanh(self.linear(f"{name}/dist_out/out", x)), std


def convolve(x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """SAME, stride 2: out[m] = sum_k kernel[k] x[2m + k - 1]."""
    side = x.shape[1] // 2
    x = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    taps = [(ky, kx) for ky in range(4) for kx in range(4)]
    return sum(
        x[:, ky : ky + 2 * side : 2, kx : kx + 2 * side : 2] @ kernel[ky, kx] for ky, kx in taps
    )


def spread(x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """SAME, transposed, stride 2, kernel [4, 4, O, I] not flipped.

    x[m] contributes to out[2m + 2 - k] with weight kernel[k].
    """
    batch, side = x.shape[:2]
    out = np.zeros((batch, 2 * side + 2, 2 * side + 2, kernel.shape[2]))
    for ky in range(4):
        for kx in range(4):
            out[:, 3 - ky : 3 - ky + 2 * side : 2, 3 - kx : 3 - kx + 2 * side : 2] += (
                x @ kernel[ky, kx].T
            )
    return out[:, 1:-1, 1:-1]


# The recording


def flatten(latent: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    deter, stoch = latent
    return np.concatenate([deter, stoch.reshape(*stoch.shape[:-2], -1)], -1)


def make_batch(s: Sizes, rng: np.random.Generator) -> Arrays:
    lead = (s.batch, s.length)
    data: Arrays = {
        key: rng.integers(0, 256, (*lead, 64, 64, 3)).astype(np.uint8) for key in s.images
    }
    data |= {
        key: rng.normal(0, 3, (*lead, size)).astype(np.float32) for key, size in s.vectors.items()
    }
    data["reward"] = rng.normal(size=lead).astype(np.float32)
    data["cost"] = rng.choice([0.0, 1.0, 2.0], lead).astype(np.float32)
    data["is_first"] = rng.random(lead) < 0.3
    data["is_last"] = np.zeros(lead, bool)
    data["is_terminal"] = rng.random(lead) < 0.2
    data["action"] = rng.uniform(-1.5, 1.5, (*lead, s.actions)).astype(np.float32)
    return data


def record_model(net: Release, data: Arrays, rng: np.random.Generator) -> Arrays:
    s, out = net.s, {}
    embed = out["embed"] = net.encode(data)
    initial = [np.repeat(x[None], s.batch, 0) for x in net.initial()]
    out["initial_deter"], out["initial_stoch"] = initial
    steps = []
    (deter, stoch), action = initial, np.zeros((s.batch, s.actions))
    for t in range(s.length):
        first = data["is_first"][:, t]
        deter = np.where(first[:, None], initial[0], deter)
        stoch = np.where(first[:, None, None], initial[1], stoch)
        deter = net.next_deter(deter, stoch, np.where(first[:, None], 0.0, action))
        prior, post = net.prior(deter), net.posterior(deter, embed[:, t])
        stoch, action = sample_onehot(post, rng), data["action"][:, t]
        steps.append((deter, stoch, np.log(post), sample_onehot(prior, rng), np.log(prior)))
    names = ("post_deter", "post_stoch", "post_logit", "prior_stoch", "prior_logit")
    out |= {
        name: np.stack(column, 1)
        for name, column in zip(names, zip(*steps, strict=True), strict=True)
    }
    out["prior_deter"] = out["post_deter"]
    feat = flatten((out["post_deter"], out["post_stoch"]))
    for key, mean in net.decode(feat).items():
        target = data[key] / (255.0 if key in s.images else 1.0)
        out[f"pred_{key}"] = mean
        out[f"logprob_{key}"] = -((mean - target) ** 2).reshape(s.batch, s.length, -1).sum(-1)
    for key, name in (("reward", "rew"), *([("cost", "cost")] * s.costs)):
        logits = net.head(f"agent/wm/{name}", feat)
        out[f"pred_{key}"], out[f"logprob_{key}"] = (
            twohot_mean(logits),
            twohot_log_prob(logits, data[key]),
        )
    alive = sigmoid(net.head("agent/wm/cont", feat)[..., 0])
    out["pred_cont"] = alive
    out["logprob_cont"] = np.log(np.where(data["is_terminal"], 1.0 - alive, alive))
    kl = (np.exp(out["post_logit"]) * (out["post_logit"] - out["prior_logit"])).sum((-2, -1))
    out["dyn_loss"] = out["rep_loss"] = np.maximum(1.0, kl)
    return out


def record_behaviour(net: Release, post_feat: np.ndarray) -> Arrays:
    mean, std = net.actor(post_feat)
    out = {
        "actor_mean": mean,
        "actor_std": std,
        "actor_entropy": np.log(std * np.sqrt(2 * np.pi * np.e)).sum(-1),
        "critic_mean": twohot_mean(net.head("agent/task_behavior/critic/net", post_feat)),
        "critic_slow_mean": twohot_mean(net.head("agent/task_behavior/critic/slow", post_feat)),
    }
    if net.s.costs:
        out["cost_critic_mean"] = twohot_mean(
            net.head("agent/task_behavior/cost_critic/net", post_feat)
        )
    return out


def lambda_return(reward: np.ndarray, value: np.ndarray, discount: np.ndarray) -> np.ndarray:
    returns = [value[-1]]
    for t in reversed(range(len(reward))):
        returns.append(reward[t] + discount[t] * (0.05 * value[t + 1] + 0.95 * returns[-1]))
    return np.stack(returns[:0:-1])


def record_imagination(
    net: Release, out: Arrays, terminal: np.ndarray, rng: np.random.Generator
) -> Arrays:
    s, gamma, rows = net.s, 1.0 - 1.0 / 333.0, []
    deter, stoch, logit = (
        out[f"post_{name}"].reshape(-1, *out[f"post_{name}"].shape[2:])
        for name in ("deter", "stoch", "logit")
    )
    for _ in range(s.horizon + 1):
        mean, std = net.actor(flatten((deter, stoch)))
        action = mean + std * rng.normal(size=mean.shape)
        rows.append((deter, stoch, logit, action))
        deter = net.next_deter(deter, stoch, action)
        probs = net.prior(deter)
        stoch, logit = sample_onehot(probs, rng), np.log(probs)
    imag = dict(
        zip(
            ("deter", "stoch", "logit", "action"),
            map(np.stack, zip(*rows, strict=True)),
            strict=True,
        )
    )
    feat = flatten((imag["deter"], imag["stoch"]))
    cont = (net.head("agent/wm/cont", feat)[..., 0] > 0).astype(float)
    cont[0] = 1.0 - terminal.reshape(-1)
    weight = np.cumprod(gamma * cont, 0) / gamma
    imag |= {"cont": cont, "weight": weight}
    scalars: Arrays = {}
    kinds = [("reward", "return", "value", "rew", "critic")]
    kinds += [("cost", "cost_return", "cost_value", "cost", "cost_critic")] * s.costs
    for step, ret, value, head, critic in kinds:
        logits = net.head(f"agent/task_behavior/{critic}/net", feat)
        imag[step] = twohot_mean(net.head(f"agent/wm/{head}", feat[1:]))
        values = twohot_mean(logits)
        imag[value] = values[:-1]
        imag[ret] = lambda_return(imag[step], values, gamma * cont[1:])
        slow = twohot_mean(net.head(f"agent/task_behavior/{critic}/slow", feat[:-1]))
        fit = twohot_log_prob(logits[:-1], imag[ret]) + twohot_log_prob(logits[:-1], slow)
        scalars[f"{critic}_loss"] = -(weight[:-1] * fit).mean()
    low, high = (0.01 * np.percentile(imag["return"], q) for q in (5, 95))
    entropy = np.log(net.actor(feat)[1] * np.sqrt(2 * np.pi * np.e)).sum(-1)[:-1]
    advantage = (imag["return"] - imag["value"]) / max(1.0, high - low)
    scalars |= {"retnorm_low": low, "retnorm_high": high}
    scalars["actor_loss"] = (weight[:-1] * (-advantage - 3e-4 * entropy)).mean()
    if s.lagrange:
        lam, mu = 0.3, 0.05
        returns = imag["cost_return"].sum(0) if s.pessimistic else imag["cost_return"].mean(0)
        g = returns.mean() - 2.0
        psi = lam * g + mu * g * g / 2 if lam + mu * g > 0 else -lam * lam / (2 * mu)
        scalars["actor_loss"] += psi
        scalars |= {
            "actor_penalty": psi,
            "actor_lagrange_multiplier": max(0.0, lam + mu * g),
            "actor_penalty_multiplier": min(1.0, mu * (1 + 1e-5)),
        }
    return {f"imag_{k}": v for k, v in imag.items()} | scalars


def write_recording(folder: Path, s: Sizes, template: dict[str, Any], seed: int = 0) -> None:
    """Write a recording; `template` is a flat config.json of the release with sizes to replace."""
    rng = np.random.default_rng(seed)
    params, data = make_params(s, rng), make_batch(s, rng)
    net = Release(params, s)
    arrays = record_model(net, data, rng)
    feat = flatten((arrays["post_deter"], arrays["post_stoch"]))
    arrays |= record_behaviour(net, feat.reshape(-1, s.feat)) | record_imagination(
        net, arrays, data["is_terminal"], rng
    )
    config = template | {
        "rssm.deter": s.deter,
        "rssm.stoch": s.stoch,
        "rssm.classes": s.classes,
        "imag_horizon": s.horizon,
        "encoder.mlp_keys": "|".join(s.vectors) or "$^",
        "encoder.cnn_keys": "|".join(s.images) or "$^",
        "pessimistic": s.pessimistic,
        "use_cost": s.costs,
        "cost_limit": 2.0,
        "lagrange_multiplier_init": 0.3,
        "penalty_multiplier_init": 0.05,
    }
    folder.mkdir(parents=True)
    content = {
        "step": 1,
        "agent": params,
        "train_replay": None,
        "eval_replay": None,
        "_timestamp": 0.0,
    }
    (folder / "official.ckpt").write_bytes(pickle.dumps(content))
    (folder / "config.json").write_text(json.dumps(config))
    listing = {name: [list(np.shape(x)), str(np.asarray(x).dtype)] for name, x in params.items()}
    (folder / "params.json").write_text(json.dumps(listing))
    float32 = {k: np.asarray(v, np.float32) for k, v in arrays.items()}
    np.savez(folder / "arrays.npz", **{f"data_{k}": v for k, v in data.items()}, **float32)
