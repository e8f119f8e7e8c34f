"""The head model against a slow reference that follows the papers vertex by vertex."""

import pickle
import time

import numpy as np
import pytest
from scipy import sparse
from scipy.spatial.transform import Rotation

from avatar.blendshapes import INDEX
from avatar.flame import head_from_flame, read_flame_pickle
from avatar.head import Head, Joint, Part, eye_rotations, rotation_matrices

PARENTS = [-1, 0, 1, 1, 1]


def random_arrays(rng, vertex_count=60, shape_count=4, expression_count=52, pose=True):
    """A head of random numbers with all arrays of the file format."""
    regressor = rng.random((5, vertex_count)) ** 8
    weights = rng.random((vertex_count, 5)) ** 4
    return {
        "template": rng.normal(size=(vertex_count, 3)),
        "shape_basis": rng.normal(size=(vertex_count, 3, shape_count)),
        "expression_basis": rng.normal(size=(vertex_count, 3, expression_count)),
        "pose_basis": 0.1 * rng.normal(size=(vertex_count, 3, 36 if pose else 0)),
        "joint_regressor": regressor / regressor.sum(1, keepdims=True),
        "skinning_weights": weights / weights.sum(1, keepdims=True),
        "parents": PARENTS,
        "faces": rng.integers(0, vertex_count, (90, 3)),
        "uv": rng.random((vertex_count, 2)),
        "part": np.full(90, Part.SKIN),
        "landmark_faces": rng.integers(0, 90, 68),
        "landmark_barycentric": rng.dirichlet([1, 1, 1], 68),
        "face_mesh_faces": rng.integers(0, 90, 478),
        "face_mesh_barycentric": rng.dirichlet([1, 1, 1], 478),
    }


def reference_vertices(arrays, shape, expression, rotations, translation):
    """FLAME eq. 1–4, one vertex and one joint at a time, in float64."""
    matrices = Rotation.from_rotvec(rotations).as_matrix()
    shaped = arrays["template"] + arrays["shape_basis"] @ shape
    joints = arrays["joint_regressor"] @ shaped
    feature = (matrices[1:] - np.eye(3)).ravel()
    world = []
    for joint, parent in enumerate(PARENTS):
        local = np.eye(4)
        local[:3, :3] = matrices[joint]
        local[:3, 3] = joints[joint] - (joints[parent] if parent >= 0 else 0)
        world.append(local if parent < 0 else world[parent] @ local)
    result = np.empty_like(shaped)
    for vertex in range(len(shaped)):
        point = shaped[vertex] + arrays["expression_basis"][vertex] @ expression
        if arrays["pose_basis"].shape[2]:
            point = point + arrays["pose_basis"][vertex] @ feature
        result[vertex] = translation
        for joint in range(5):
            rest = np.eye(4)
            rest[:3, 3] = -joints[joint]
            result[vertex] += arrays["skinning_weights"][vertex, joint] * (world[joint] @ rest @ [*point, 1.0])[:3]
    return result


@pytest.mark.parametrize("pose", [True, False])
def test_vertices_follow_the_paper(pose):
    rng = np.random.default_rng(3)
    arrays = random_arrays(rng, pose=pose)
    shape, expression = rng.normal(size=4), rng.random(52)
    rotations, translation = rng.normal(0, 0.4, (5, 3)), rng.normal(size=3)
    got = Head.from_arrays(arrays).vertices(expression, rotations, translation, shape)
    np.testing.assert_allclose(got, reference_vertices(arrays, shape, expression, rotations, translation), atol=2e-5)


def test_directions_that_leave_a_block_alone_are_skipped():
    rng = np.random.default_rng(4)
    arrays = random_arrays(rng, pose=False)
    arrays["expression_basis"][:40, :, 5:] = 0
    arrays["skinning_weights"][:20] = np.eye(5)[1]
    head = Head.from_arrays(arrays)
    assert [len(head._blocks.direction), len(head._blocks.joint)] == [2 * 5 + 2 * 52, 1 + 3 * 5]
    expression, zero = rng.random(52), np.zeros
    expected = reference_vertices(arrays, zero(4), expression, zero((5, 3)), zero(3))
    np.testing.assert_allclose(head.vertices(expression), expected, atol=2e-5)


def test_rotation_matrices_agree_with_scipy_also_near_zero():
    vectors = np.concatenate([np.random.default_rng(5).normal(size=(20, 3)), np.zeros((1, 3)), np.full((1, 3), 1e-9)])
    np.testing.assert_allclose(rotation_matrices(vectors), Rotation.from_rotvec(vectors).as_matrix(), atol=1e-6)


def test_pose_turns_about_the_neck_then_moves_the_whole_model():
    arrays = random_arrays(np.random.default_rng(6), pose=False)
    arrays["skinning_weights"] = np.eye(5)[np.arange(60) % 5]
    head = Head.from_arrays(arrays)
    vector, shift = np.array([0.1, -0.3, 0.2]), np.array([0.01, 0.02, 0.03])
    got = head.pose(np.zeros(52), [*vector, *shift])
    neck = head.joints()[Joint.NECK]
    turned = (arrays["template"] - neck) @ Rotation.from_rotvec(vector).as_matrix().T + neck + shift
    np.testing.assert_allclose(got[1::5], turned[1::5], atol=1e-5)
    np.testing.assert_allclose(got[0::5], arrays["template"][0::5] + shift, atol=1e-5)


@pytest.mark.parametrize(
    ("names", "direction"),
    [
        (("eyeLookUpLeft", "eyeLookUpRight"), [0, 0.5, np.sqrt(0.75)]),
        (("eyeLookDownLeft", "eyeLookDownRight"), [0, -0.5, np.sqrt(0.75)]),
        (("eyeLookOutLeft", "eyeLookInRight"), [0.5, 0, np.sqrt(0.75)]),
        (("eyeLookInLeft", "eyeLookOutRight"), [-0.5, 0, np.sqrt(0.75)]),
    ],
)
def test_both_eyes_look_the_same_way(names, direction):
    blendshapes = np.zeros(52)
    blendshapes[[INDEX[name] for name in names]] = 1
    for rotation in eye_rotations(blendshapes):
        np.testing.assert_allclose(rotation_matrices(rotation)[0] @ [0, 0, 1], direction, atol=1e-6)


def flame_arrays(rng):
    """Random numbers in the shapes of the official file."""
    vertex_count = 5023
    regressor, weights = rng.random((5, vertex_count)), rng.random((vertex_count, 5))
    return {
        "v_template": rng.normal(size=(vertex_count, 3)),
        "shapedirs": rng.normal(size=(vertex_count, 3, 400)),
        "posedirs": rng.normal(size=(vertex_count, 3, 36)),
        "J_regressor": sparse.csc_matrix(regressor / regressor.sum(1, keepdims=True)),
        "weights": weights / weights.sum(1, keepdims=True),
        "kintree_table": np.array([[2**32 - 1, 0, 1, 1, 1], [0, 1, 2, 3, 4]], np.uint32),
        "f": rng.integers(0, vertex_count, (9976, 3)).astype(np.uint32),
    }


def test_flame_files_load_and_pose(tmp_path):
    rng = np.random.default_rng(7)
    arrays = flame_arrays(rng)
    path = tmp_path / "generic_model.pkl"
    path.write_bytes(pickle.dumps(arrays, protocol=2))
    head = head_from_flame(read_flame_pickle(path))
    assert head.parents.tolist() == PARENTS
    shape, expression, rotations = rng.normal(0, 0.01, 300), rng.normal(0, 0.01, 100), rng.normal(0, 0.2, (5, 3))
    own = {
        "template": arrays["v_template"],
        "shape_basis": arrays["shapedirs"][:, :, :300],
        "expression_basis": arrays["shapedirs"][:, :, 300:],
        "pose_basis": arrays["posedirs"],
        "joint_regressor": arrays["J_regressor"].toarray(),
        "skinning_weights": arrays["weights"],
    }
    expected = reference_vertices(own, shape, expression, rotations, np.zeros(3))
    got = head.vertices(expression, rotations, shape=shape)
    np.testing.assert_allclose(got, expected, atol=1e-4)
    with pytest.raises(ValueError, match="expression_map"):
        head.pose(np.zeros(52), np.zeros(6))


def test_flame_with_an_expression_map_takes_arkit_coefficients():
    rng = np.random.default_rng(8)
    arrays, mapping = flame_arrays(rng), rng.normal(size=(100, 52))
    blendshapes = np.zeros(52)
    blendshapes[INDEX["mouthPucker"]] = 1
    moved = head_from_flame(arrays, mapping).pose(blendshapes, np.zeros(6))
    own = head_from_flame(arrays).vertices(mapping[:, INDEX["mouthPucker"]])
    np.testing.assert_allclose(moved, own, atol=1e-4)


def test_face_mesh_points_mix_the_corners_of_their_triangles():
    arrays = random_arrays(np.random.default_rng(10))
    head = Head.from_arrays(arrays)
    corners = arrays["template"][arrays["faces"][arrays["face_mesh_faces"]]]
    expected = np.einsum("nk,nkd->nd", arrays["face_mesh_barycentric"], corners)
    np.testing.assert_allclose(head.face_mesh(head.template), expected, atol=1e-5)


def test_flame_has_face_mesh_points_where_it_is_told_of_them():
    rng = np.random.default_rng(11)
    arrays = flame_arrays(rng)
    head = head_from_flame(arrays)
    assert np.isnan(head.face_mesh(head.template)).all()
    faces, corners = rng.integers(0, 9976, 478), np.tile([0.0, 1.0, 0.0], (478, 1))
    head = head_from_flame(arrays, face_mesh_faces=faces, face_mesh_barycentric=corners)
    np.testing.assert_array_equal(head.face_mesh(head.template), head.template[head.faces[faces, 1]])


def test_pickles_that_name_other_classes_are_refused(tmp_path):
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps({"v_template": time.sleep}))
    with pytest.raises(pickle.UnpicklingError, match="arrays only"):
        read_flame_pickle(path)


def test_wrong_sizes_are_refused():
    arrays = random_arrays(np.random.default_rng(9))
    head = Head.from_arrays(arrays)
    with pytest.raises(ValueError, match="blendshapes must be"):
        head.pose(np.zeros(51), np.zeros(6))
    with pytest.raises(ValueError, match="one row per joint"):
        head.vertices(np.zeros(52), np.zeros((4, 3)))
    with pytest.raises(ValueError, match="skinning_weights must be"):
        Head.from_arrays({**arrays, "skinning_weights": np.ones((60, 4))})
    with pytest.raises(KeyError, match="missing: \\['uv'\\]"):
        Head.from_arrays({name: value for name, value in arrays.items() if name != "uv"})
