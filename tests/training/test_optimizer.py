import pytest
import torch

from keypoint.errors import ConfigError
from keypoint.models import create_model
from keypoint.training.optimizer import build_optimizer, learning_rate


def test_drops_of_the_papers_recipe():
    def at(epoch):
        return learning_rate(10_000, epoch, lr=1e-3, drops=(170, 200))

    assert [at(e) for e in (0, 169, 170, 199, 200, 209)] == pytest.approx(
        [1e-3, 1e-3, 1e-4, 1e-4, 1e-5, 1e-5]
    )


def test_drops_equal_torchs_scheduler():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [3, 5], gamma=0.2)
    for epoch in range(8):
        assert learning_rate(0, epoch, lr=0.5, drops=(3, 5), factor=0.2) == pytest.approx(
            scheduler.get_last_lr()[0]
        )
        optimizer.step()
        scheduler.step()


def test_warm_up_rises_in_a_line():
    rates = [learning_rate(step, 0, lr=1.0, drops=(), warmup_steps=4) for step in range(6)]
    assert rates == pytest.approx([0.001, 0.25075, 0.5005, 0.75025, 1.0, 1.0])


def test_norms_biases_and_spectral_parameters_are_not_decayed():
    model = create_model(
        "resnet18",
        input_size=(64, 64),
        blocks={"deconv1": "srl_lo", "deconv2": "srl_fft", "deconv3": "nl"},
    )
    decayed, exempt = build_optimizer(model, "adamw", weight_decay=0.1).param_groups
    assert (decayed["weight_decay"], exempt["weight_decay"]) == (0.1, 0)
    names = {id(p): name for name, p in model.named_parameters()}
    decayed_names = {names[id(p)] for p in decayed["params"]}
    exempt_names = {names[id(p)] for p in exempt["params"]}
    assert decayed_names | exempt_names == set(names.values())
    assert not decayed_names & exempt_names
    weights = {
        name
        for module_name, module in model.named_modules()
        if isinstance(module, (torch.nn.Conv2d, torch.nn.ConvTranspose2d))
        for name in [f"{module_name}.weight"]
    }
    assert decayed_names == weights


def test_adam_refuses_weight_decay_and_unknown_names():
    model = torch.nn.Linear(2, 2)
    with pytest.raises(ConfigError, match="weight_decay=0.1 with adam; use train.optimizer=adamw"):
        build_optimizer(model, "adam", weight_decay=0.1)
    with pytest.raises(ConfigError, match="choose adam, adamw or sgd"):
        build_optimizer(model, "lion")
    assert build_optimizer(model, "sgd", momentum=0.8).param_groups[0]["momentum"] == 0.8
