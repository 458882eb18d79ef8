import pytest
import torch

from keypoint.errors import ConfigError
from keypoint.pose.skeleton import load_skeleton
from keypoint.training.losses import build_loss, heatmap_loss


def test_closed_form():
    predicted, target = torch.full((2, 3, 4, 5), 0.5), torch.zeros(2, 3, 4, 5)
    weight = torch.tensor([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    # 3 of 6 maps count, each pixel 0.5 ** 2; the mean runs over all maps
    assert heatmap_loss(predicted, target, weight).item() == 0.5 * 0.25 * 3 / 6


def test_nothing_labelled_gives_zero_and_a_finite_gradient():
    predicted = torch.randn(2, 3, 4, 5, requires_grad=True)
    loss = heatmap_loss(predicted, torch.zeros(2, 3, 4, 5), torch.zeros(2, 3))
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(predicted.grad, torch.zeros_like(predicted))


def test_bf16_prediction_is_summed_in_float32():
    predicted = torch.full((1, 1, 64, 48), 0.01, dtype=torch.bfloat16)
    loss = heatmap_loss(predicted, torch.zeros(1, 1, 64, 48), torch.ones(1, 1))
    assert loss.dtype == torch.float32
    expected = 0.5 * float(predicted[0, 0, 0, 0]) ** 2
    torch.testing.assert_close(loss.item(), expected, rtol=1e-6, atol=0)


def ohkm_by_loops(predicted, target, weight, hardest):
    """Per sample and keypoint half the mean squared weighted error; top ones, / k; mean of batch."""
    total = 0.0
    for b in range(len(predicted)):
        errors = []
        for k in range(predicted.shape[1]):
            pixels = [
                (float(weight[b, k]) * (float(p) - float(t))) ** 2
                for p, t in zip(predicted[b, k].flatten(), target[b, k].flatten(), strict=True)
            ]
            errors.append(0.5 * sum(pixels) / len(pixels))
        total += sum(sorted(errors, reverse=True)[:hardest]) / hardest
    return total / len(predicted)


@pytest.mark.parametrize("hardest", [None, 1, 3, 8, 9])
def test_equals_loops_with_fractional_weights(hardest):
    """None is all 9."""
    torch.manual_seed(hardest or 0)
    predicted, target = torch.randn(3, 9, 4, 5, dtype=torch.float64), torch.rand(3, 9, 4, 5)
    weight = torch.rand(3, 9).double() * (torch.rand(3, 9) > 0.4)
    loss = heatmap_loss(predicted, target, weight, hardest=hardest)
    expected = ohkm_by_loops(predicted, target, weight, hardest or 9)
    assert loss.item() == pytest.approx(expected, rel=1e-12)


def test_only_the_hardest_keypoints_learn():
    predicted = torch.zeros(2, 4, 3, 3, requires_grad=True)
    target = torch.zeros(2, 4, 3, 3)
    target[0] += torch.tensor([1.0, 4, 2, 3])[:, None, None]
    target[1] += torch.tensor([9.0, 1, 8, 2])[:, None, None]
    weight = torch.ones(2, 4)
    weight[1, 0] = 0  # unlabelled: however wrong it is, it is not among the hardest
    heatmap_loss(predicted, target, weight, hardest=2).backward()
    learns = predicted.grad.abs().sum((2, 3)) > 0
    assert learns.tolist() == [[False, True, False, True], [False, False, True, True]]


HRNETS = [1, 1, 1, 1, 1, 1, 1, 1.2, 1.2, 1.5, 1.5, 1, 1, 1.2, 1.2, 1.5, 1.5]


@pytest.mark.parametrize("ohkm", [None, 8])
def test_weights_by_name_multiply_the_targets_weight(ohkm):
    """HRNet's own, which stand in its order of COCO's keypoints."""
    names = load_skeleton("coco17").keypoints
    by_name = {name: weight for name, weight in zip(names, HRNETS, strict=True) if weight != 1}
    assert by_name["left_elbow"] == 1.2
    assert by_name["right_ankle"] == 1.5
    loss = build_loss(names, keypoint_weights=by_name, ohkm=ohkm)
    predicted, target = torch.randn(2, 17, 4, 3), torch.randn(2, 17, 4, 3)
    weight = (torch.rand(2, 17) > 0.3).float()
    expected = ohkm_by_loops(predicted, target, weight * torch.tensor(HRNETS), ohkm or 17)
    assert loss(predicted, target, weight).item() == pytest.approx(expected, rel=1e-5)


def test_options_without_effect_are_refused():
    names = ["a", "b", "c"]
    for ohkm in (3, 4):
        with pytest.raises(ConfigError, match=f"train.ohkm={ohkm} has no effect with 3 keypoints"):
            build_loss(names, ohkm=ohkm)
    with pytest.raises(
        ConfigError, match=r"contains \['d'\], which the skeleton lacks; choose from"
    ):
        build_loss(names, keypoint_weights={"a": 2.0, "d": 1.5})
    plain, none = torch.randn(2, 3, 4, 4), torch.zeros(2, 3, 4, 4)
    assert build_loss(names)(plain, none, torch.ones(2, 3)) == heatmap_loss(
        plain, none, torch.ones(2, 3)
    )


def test_a_misspelt_keypoint_is_guessed():
    with pytest.raises(
        ConfigError, match=r"contains \['left_ankel'\], .*did you mean left_ankle\?$"
    ):
        build_loss(["nose", "left_ankle"], keypoint_weights={"left_ankel": 2.0})
    with pytest.raises(ConfigError, match=r"; choose from \['nose', 'left_ankle'\]$"):
        build_loss(["nose", "left_ankle"], keypoint_weights={"left_ankel": 2.0, "hoof": 2.0})
