import pytest

from keypoint.evaluation.analysis.analyse import analyse, compare
from keypoint.pose.skeleton import load_skeleton
from tests.evaluation.cases import small_case

COCO17 = load_skeleton("coco17")


def test_by_similarity_the_best_score_chooses_and_bad_ones_find_none():
    annotations, results = small_case()
    nearly = {**results[0], "score": 0.95, "keypoints": [x + 1.0 for x in results[0]["keypoints"]]}
    nowhere = {**results[0], "score": 0.99, "keypoints": [9000.0 + i for i in range(51)]}
    case = compare(annotations, [*results, nearly, nowhere], COCO17)
    assert case.paired.tolist() == [-1, 1, 2, 0, -1]
    assert analyse(case, COCO17).results == {
        "matched to a person": 3,
        "matched to no person": 2,
        "on an ignored annotation": 0,
        "beyond the best 20 of an image": 0,
    }


def test_by_id_a_person_is_held_against_its_own_result_whatever_it_resembles():
    annotations, results = small_case()
    ids = [72, 71, 73]  # the first two results show each other's person
    case = compare(annotations, results, COCO17, annotation_ids=ids)
    assert [case.truth.ids[row] for row in case.own.truth] == ids
    analysis = analyse(case, COCO17)
    assert analysis.by_id
    assert case.own_oks[2] == 1.0
    assert case.own_oks[:2].max() < 0.2
    # Every keypoint lies upon the other person's (or, by chance, near one of its own).
    assert analysis.kinds[:, 3].sum() > 25
    assert analysis.within[0.1].sum() < 51


def test_unpaired_persons_miss_all_their_keypoints_in_pck():
    annotations, results = small_case()
    analysis = analyse(compare(annotations, results[:1], COCO17), COCO17)
    assert (analysis.persons, analysis.paired) == (3, 1)
    assert analysis.labelled.tolist() == [3] * 17
    assert analysis.within[0.2].tolist() == [1] * 17
    assert analysis.kinds.sum() == 17  # only of the paired person


def test_ids_that_do_not_belong():
    annotations, results = small_case()
    with pytest.raises(ValueError, match=r"1 are unknown \(\[5\]\); give each result its own"):
        compare(annotations, results, COCO17, annotation_ids=[71, 72, 5])
    with pytest.raises(ValueError, match="some are given twice"):
        compare(annotations, results, COCO17, annotation_ids=[71, 72, 72])


def test_no_result_and_results_on_ignored_annotations():
    annotations, results = small_case()
    analysis = analyse(compare(annotations, [], COCO17), COCO17)
    assert analysis.paired == 0
    assert analysis.all.ap == 0
    assert analysis.score_bins == analysis.keypoint_score_bins == []
    for change in ({"iscrowd": 1}, {"num_keypoints": 0, "keypoints": [0] * 51}):
        annotations, results = small_case()
        annotations["annotations"][0].update(change)
        analysis = analyse(compare(annotations, results, COCO17), COCO17)
        assert analysis.results["on an ignored annotation"] == 1
        assert sum(b.count for b in analysis.score_bins) == analysis.persons == 2


def test_annotations_of_other_categories_do_not_shift_the_ids():
    annotations, results = small_case()
    annotations["categories"].append({"id": 18, "name": "dog"})
    dog = {"id": 5, "image_id": 501, "category_id": 18, "bbox": [0, 0, 9, 9], "area": 81}
    annotations["annotations"].insert(0, dog)
    case = compare(annotations, results, COCO17, annotation_ids=[71, 72, 73])
    assert case.truth.ids == (71, 72, 73)
    assert case.own_oks.tolist() == [1.0] * 3
