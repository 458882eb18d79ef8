import torch

from keypoint.losses import heatmap_loss


def test_closed_form():
    predicted, target = torch.full((2, 3, 4, 5), 0.5), torch.zeros(2, 3, 4, 5)
    weight = torch.tensor([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    # 3 of 6 maps count, each pixel 0.5 ** 2; the mean runs over all maps
    assert heatmap_loss(predicted, target, weight).item() == 0.5 * 0.25 * 3 / 6


def test_equals_a_loop_with_fractional_weights():
    predicted, target = torch.randn(2, 3, 4, 5, dtype=torch.float64), torch.randn(2, 3, 4, 5)
    weight = torch.rand(2, 3)
    total = 0.0
    for b in range(2):
        for k in range(3):
            for y in range(4):
                for x in range(5):
                    total += float(weight[b, k] * (predicted[b, k, y, x] - target[b, k, y, x])) ** 2
    loss = heatmap_loss(predicted, target, weight).item()
    torch.testing.assert_close(loss, 0.5 * total / 120, rtol=1e-5, atol=0)


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
