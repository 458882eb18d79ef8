"""The built-in skeletons against what their data sets publish, typed a second time."""

import pytest

from keypoint.pose.skeleton import BUILT_IN_FOLDER, load_skeleton

# Names by the order of the data sets' own pages and files.
NAMES = {
    "coco17": "nose left_eye right_eye left_ear right_ear left_shoulder right_shoulder left_elbow right_elbow left_wrist"
    " right_wrist left_hip right_hip left_knee right_knee left_ankle right_ankle",
    # 0 r ankle, 1 r knee, 2 r hip, 3 l hip, 4 l knee, 5 l ankle, 6 pelvis, 7 thorax, 8 upper neck, 9 head top,
    # 10 r wrist, 11 r elbow, 12 r shoulder, 13 l shoulder, 14 l elbow, 15 l wrist
    "mpii16": "right_ankle right_knee right_hip left_hip left_knee left_ankle pelvis thorax upper_neck head_top"
    " right_wrist right_elbow right_shoulder left_shoulder left_elbow left_wrist",
    "crowdpose14": "left_shoulder right_shoulder left_elbow right_elbow left_wrist right_wrist left_hip right_hip"
    " left_knee right_knee left_ankle right_ankle head neck",
    "aic14": "right_shoulder right_elbow right_wrist left_shoulder left_elbow left_wrist right_hip right_knee"
    " right_ankle left_hip left_knee left_ankle head_top neck",
    # Halpe writes LEye, RBigToe; the order is its README's
    "halpe26": "nose left_eye right_eye left_ear right_ear left_shoulder right_shoulder left_elbow right_elbow left_wrist"
    " right_wrist left_hip right_hip left_knee right_knee left_ankle right_ankle head neck hip left_big_toe"
    " right_big_toe left_small_toe right_small_toe left_heel right_heel",
    # 0 L_Eye, 1 R_Eye, 2 Nose, 3 Neck, 4 Root of tail, 5 L_Shoulder, 6 L_Elbow, 7 L_F_Paw, 8 to 10 right, 11 L_Hip,
    # 12 L_Knee, 13 L_B_Paw, 14 to 16 right
    "ap10k17": "left_eye right_eye nose neck root_of_tail left_shoulder left_elbow left_front_paw right_shoulder right_elbow"
    " right_front_paw left_hip left_knee left_back_paw right_hip right_knee right_back_paw",
}
# As the evaluation code of each data set prints them; COCO's and Halpe's and CrowdPose's are tenths there.
COCO_TENTHS = [.26, .25, .25, .35, .35, .79, .79, .72, .72, .62, .62, 1.07, 1.07, .87, .87, .89, .89]  # fmt: skip
SIGMAS = {
    "coco17": [tenth / 10 for tenth in COCO_TENTHS],
    "mpii16": [.089, .083, .107, .107, .083, .089, .026, .026, .026, .026, .062, .072, .179, .179, .072, .062],
    "crowdpose14": [t / 10 for t in (.79, .79, .72, .72, .62, .62, 1.07, 1.07, .87, .87, .89, .89, .79, .79)],
    "aic14": [0.01388152, 0.01515228, 0.01057665, 0.01417709, 0.01497891, 0.01402144, 0.03909642, 0.03686941,
              0.01981803, 0.03843971, 0.03412318, 0.02415081, 0.01291456, 0.01236173],
    "halpe26": [t / 10 for t in [*COCO_TENTHS, .8, .8, .8, .89, .89, .89, .89, .89, .89]],
    # mmpose's: COCO's list by place, with .26 and .35 where the names differ
    "ap10k17": [t / 10 for t in (.25, .25, .26, .35, .35, .79, .79, .72, .72, .62, .62, 1.07, 1.07, .87, .87, .89, .89)],
}  # fmt: skip
NUMBER_OF_EDGES = {
    "coco17": 19,
    "mpii16": 15,
    "crowdpose14": 15,
    "aic14": 14,
    "halpe26": 27,
    "ap10k17": 17,
}


def test_these_are_all():
    assert {file.stem for file in BUILT_IN_FOLDER.glob("*.yaml")} == NAMES.keys()


@pytest.fixture(params=sorted(NAMES))
def skeleton(request):
    return load_skeleton(request.param)


def test_names_sigmas_and_counts_are_the_published_ones(skeleton):
    assert list(skeleton.keypoints) == NAMES[skeleton.name].split()
    assert skeleton.name.endswith(str(skeleton.num_keypoints))
    assert skeleton.oks_sigmas == pytest.approx(SIGMAS[skeleton.name], abs=1e-12)
    assert not skeleton.uniform_sigmas
    assert len(skeleton.edges) == NUMBER_OF_EDGES[skeleton.name]


def test_pairs_are_all_names_with_a_side_and_the_flip_undoes_itself(skeleton):
    sided = {name for name in skeleton.keypoints if name.startswith(("left_", "right_"))}
    assert {name for pair in skeleton.pairs for name in pair} == sided
    for left, right in skeleton.pairs:
        assert (left.removeprefix("left_"), left[:5]) == (right.removeprefix("right_"), "left_")
    flip = skeleton.flip_indices
    assert [flip[i] for i in flip] == list(range(skeleton.num_keypoints))
    assert sum(a != b for a, b in enumerate(flip)) == len(sided)


def test_edges_connect_all_keypoints_mirror_each_other_and_come_once(skeleton):
    edges = {frozenset(edge) for edge in skeleton.edge_indices}
    assert len(edges) == len(skeleton.edges)
    flip = skeleton.flip_indices
    assert {frozenset(flip[k] for k in edge) for edge in edges} == edges
    reached, before = {0}, set()
    while reached != before:
        before = set(reached)
        reached |= {k for edge in edges if edge & before for k in edge}
    assert reached == set(range(skeleton.num_keypoints))
