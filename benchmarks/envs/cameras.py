"""Images of a MuJoCo model: the robot's front and back camera, any named one, or an overview.

Camera poses are those of Safety-Gymnasium's development version from 2023-09-30 on, which the
SafeDreamer release was trained with (package 1.0.0 has no `vision_back` camera, and narrower front
cameras on Car and Racecar). They are set on the model's single `vision` camera just before
rendering, so the model itself stays that of 1.0.0; cameras do not affect the physics. Robots
without a published back camera get the front one turned by 180 degrees about the robot's vertical
axis.

Departs from the release: Safety-Gymnasium also draws the lidar readings as small spheres above the
robot. They are outside both views but leave stray coloured streaks in some images of Car and
Racecar (measured with OSMesa); our images are the same pixels without the streaks.
"""

from __future__ import annotations

import dataclasses
import os
import warnings
from collections.abc import Hashable, Sequence
from typing import Any, ClassVar

import numpy as np

from benchmarks.envs.compat import gl_failure, mujoco
from benchmarks.envs.errors import MissingGLError
from benchmarks.envs.gl import explain

MAX_GEOMS = 1000  # capacity of the scene; every task has fewer than 150
OVERVIEW_ELEVATION = -62.0  # degrees; steep enough to see which disc the robot is on
# in half widths of the arena; fills a square image at a field of view of 45 degrees
OVERVIEW_DISTANCE = 2.5


@dataclasses.dataclass(frozen=True)
class Pose:
    """Pose of a camera in its robot's frame.

    Position [m], quaternion (w, x, y, z), vertical field of view [deg].
    """

    position: Sequence[float] | np.ndarray
    quaternion: Sequence[float] | np.ndarray
    fovy: float

    @property
    def heading(self) -> float:
        """Viewing direction in the robot's plane, in radians to the left of its x axis."""
        matrix = np.zeros(9)
        mujoco.mju_quat2Mat(matrix, np.array(self.quaternion))
        x, y, _ = -matrix.reshape(3, 3)[:, 2]  # cameras look along their negative z axis
        return float(np.arctan2(y, x))


def from_axes(
    position: Sequence[float], x: Sequence[float], y: Sequence[float], fovy: float
) -> Pose:
    """Pose of a camera from its right (x) and up (y) axes, as MJCF's `xyaxes`.

    `y` is made orthogonal to `x`.
    """
    right = np.asarray(x, float) / np.linalg.norm(x)
    up = np.asarray(y, float) - np.dot(y, right) * right
    up /= np.linalg.norm(up)
    quaternion = np.zeros(4)
    mujoco.mju_mat2Quat(quaternion, np.stack([right, up, np.cross(right, up)], axis=1).ravel())
    return Pose(position, quaternion, fovy)


def from_euler(position: Sequence[float], euler: Sequence[float], fovy: float) -> Pose:
    """Pose of a camera from intrinsic x-y-z angles in radians, as MJCF's `euler`."""
    total = np.array([1.0, 0.0, 0.0, 0.0])
    for axis, angle in zip(np.eye(3), euler, strict=True):
        turn, product = np.zeros(4), np.zeros(4)
        mujoco.mju_axisAngle2Quat(turn, axis, angle)
        mujoco.mju_mulQuat(product, total, turn)
        total = product
    return Pose(position, total, fovy)


def turned_around(pose: Pose) -> Pose:
    """The pose turned by 180 degrees about the robot's vertical axis."""
    x, y, z = pose.position
    quaternion = np.zeros(4)
    mujoco.mju_mulQuat(quaternion, np.array([0.0, 0.0, 0.0, 1.0]), np.array(pose.quaternion))
    return Pose((-x, -y, z), quaternion, pose.fovy)


def tilted(pose: Pose, degrees: float) -> Pose:
    """The pose tilted down by `degrees` about the camera's own x axis."""
    turn, quaternion = np.zeros(4), np.zeros(4)
    mujoco.mju_axisAngle2Quat(turn, np.array([1.0, 0.0, 0.0]), -np.radians(degrees))
    mujoco.mju_mulQuat(quaternion, np.array(pose.quaternion), turn)
    return dataclasses.replace(pose, quaternion=quaternion)


def whiten_sky(model: Any, share: float) -> None:
    """Mix `share` of white into the model's sky; call before creating its renderer."""
    table = np.rint((1.0 - share) * np.arange(256) + share * 255.0).astype(np.uint8).tobytes()
    for sky in np.flatnonzero(model.tex_type == int(mujoco.mjtTexture.mjTEXTURE_SKYBOX)):
        begin = int(model.tex_adr[sky])
        end = begin + 3 * int(model.tex_height[sky]) * int(model.tex_width[sky])
        # bytes.translate, because 190 MB as array indices would take eight times as much
        bytes_of = model.tex_rgb[begin:end].tobytes()
        model.tex_rgb[begin:end] = np.frombuffer(bytes_of.translate(table), np.uint8)


FRONT_AND_BACK: dict[str, tuple[Pose, Pose]] = {
    "Point": (
        from_axes((0, 0, 0.15), (0, -1, 0), (0.4, 0, 1), fovy=90),
        from_axes((0, 0, 0.15), (0, 1, 0), (0, 0, 1), fovy=90),
    ),
    "Car": (
        from_axes((0, 0, 0.2), (-1, 0, 0), (0, -0.4, 1), fovy=90),
        from_axes((0, 0, 0.2), (1, 0, 0), (0, 0, 1), fovy=90),
    ),
    "Racecar": (
        from_euler((0.1, 0, 0.1), (1.57, -1.57, 0), fovy=90),
        from_euler((0.1, 0, 0.1), (1.57, 1.57, 0), fovy=90),
    ),
}


def front_and_back(agent: str, model: Any) -> tuple[Pose, Pose]:
    """Poses of a robot's front and back cameras."""
    if agent in FRONT_AND_BACK:
        return FRONT_AND_BACK[agent]
    camera = model.camera("vision")
    front = Pose(camera.pos.copy(), camera.quat.copy(), float(camera.fovy[0]))
    return front, turned_around(front)


def assets_of(model: Any) -> tuple[object, ...]:
    """What a renderer uploads of a model, but for the pixels of its textures."""
    return (*model.tex_type, *model.mesh_vertnum, *model.mesh_facenum, model.nskin, model.nhfield)


class Renderer:
    """One OpenGL context with the textures and meshes of one model.

    Also renders other models with the same ones (`assets_of`): recompiled models of the task, and
    those of other environments in this process, which share it by a key (`shared`), since the sky
    alone takes 0.4 GB.

    Raises MissingGLError if no context can be created.
    """

    _by_key: ClassVar[dict[Hashable, Renderer]] = {}

    @classmethod
    def shared(cls, key: Hashable) -> Renderer | None:
        """The renderer of that key, for one more user, or None if nobody has one."""
        found = cls._by_key.get(key)
        if found is not None:
            found._users += 1
        return found

    def __init__(self, model: Any, height: int, width: int, key: Hashable = None) -> None:
        context_type = getattr(mujoco, "GLContext", None)
        if context_type is None:
            raise MissingGLError(explain(gl_failure or "no OpenGL library was found", os.environ))
        model.vis.global_.offwidth, model.vis.global_.offheight = width, height
        with warnings.catch_warnings(record=True) as said:  # GLFW reports its errors as warnings
            warnings.simplefilter("always", UserWarning)
            try:
                self._gl = context_type(width, height)
                self._gl.make_current()
                self._context: Any = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_150)
            except Exception as error:  # GLFW, EGL, OSMesa and MuJoCo raise different types
                why = said[0].message if said else error
                raise MissingGLError(explain(str(why), os.environ)) from error
        self._scene = mujoco.MjvScene(model, MAX_GEOMS)
        self._options = mujoco.MjvOption()
        self._options.geomgroup[:] = 1  # all groups, as Safety-Gymnasium shows them
        self._perturb = mujoco.MjvPerturb()
        self._camera = mujoco.MjvCamera()
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._context)
        self.assets, self._key, self._users = assets_of(model), key, 1
        if key is not None:
            self._by_key.setdefault(key, self)

    def named(self, model: Any, data: Any, camera: str, height: int, width: int) -> np.ndarray:
        """Image [height, width, 3] uint8 from a named camera of the model."""
        self._fix(model.camera(camera).id)
        return self._image(model, data, height, width)

    def overview(
        self, model: Any, data: Any, half_width: float, height: int, width: int
    ) -> np.ndarray:
        """Image [height, width, 3] uint8 of the square of `half_width` metres around the origin.

        The camera is fixed while the robot is inside the square and follows it outside.
        """
        robot = data.body("agent").xpos[:2]
        self._camera.type = mujoco.mjtCamera.mjCAMERA_FREE
        self._camera.lookat[:] = *(robot - np.clip(robot, -half_width, half_width)), 0.0
        # a margin for objects at the edge
        self._camera.distance = OVERVIEW_DISTANCE * (half_width + 0.4)
        self._camera.azimuth, self._camera.elevation = 90.0, OVERVIEW_ELEVATION
        return self._image(model, data, height, width)

    def posed(self, model: Any, data: Any, pose: Pose, height: int, width: int) -> np.ndarray:
        """Image [height, width, 3] uint8 from the `vision` camera moved to `pose`."""
        camera = model.camera("vision").id
        model.cam_pos[camera] = pose.position
        model.cam_quat[camera] = pose.quaternion
        model.cam_fovy[camera] = pose.fovy
        mujoco.mj_camlight(model, data)
        self._fix(camera)
        return self._image(model, data, height, width)

    def _fix(self, camera: int) -> None:
        self._camera.type, self._camera.fixedcamid = mujoco.mjtCamera.mjCAMERA_FIXED, camera

    def _image(self, model: Any, data: Any, height: int, width: int) -> np.ndarray:
        self._gl.make_current()
        everything = mujoco.mjtCatBit.mjCAT_ALL
        mujoco.mjv_updateScene(
            model, data, self._options, self._perturb, self._camera, everything, self._scene
        )
        viewport = mujoco.MjrRect(0, 0, width, height)
        mujoco.mjr_render(viewport, self._scene, self._context)
        pixels = np.empty((height, width, 3), dtype=np.uint8)
        mujoco.mjr_readPixels(pixels, None, viewport, self._context)
        return np.ascontiguousarray(pixels[::-1])  # OpenGL's first row is the lowest

    def close(self) -> None:
        """End one user's share; the last one frees the context."""
        self._users -= 1
        if self._users <= 0 and self._context is not None:
            if self._by_key.get(self._key) is self:
                del self._by_key[self._key]
            self._gl.make_current()
            self._context.free()
            self._context = None
            self._gl.free()
