"""From a position of the input to a block's map, in words and as a picture."""

import numpy as np
import pytest
import torch
from torch import nn

from keypoint.action import create_model as create_action
from keypoint.blocks import NonLocal
from keypoint.drawing.heat import COLD, WARM, draw_field, draw_query, draw_regions, draw_weights
from keypoint.explain.report import MOST_FRAMES, sheet, table
from keypoint.explain.site import Query, block_paths, explain_site, sites_of
from keypoint.models import create_model
from tests import tiny_network


def explained(model, query, site, random_inputs=1):
    path = sites_of(model, site, "")[site]
    torch.manual_seed(1)
    return explain_site(
        model,
        model,
        torch.randn_like(model.example()),
        query,
        site,
        path,
        random_inputs=random_inputs,
    )


def test_a_pixel_is_in_the_region_of_the_map_that_holds_it():
    model = tiny_network.model(blocks={"layer3": "nl"})  # 4 x 4 of 64 x 64
    for row, column, at in ((0, 63, (0, 0, 3)), (15.4, 15.6, (0, 0, 1)), (-0.5, 63.4, (0, 0, 3))):
        found = explained(model, Query(row, column), "layer3")
        assert found.rows[0].at == at
        assert found.rows[0].map_size == (1, 4, 4)
        assert found.scale == (1, 16, 16)
    assert (found.site, found.kind, found.added) == ("layer3", "NonLocal", 0)
    assert len(found.random.before.scores) == 1
    assert found.given.after.inputs == 1


def test_sites_by_the_names_that_people_use():
    torch.manual_seed(0)
    model = create_model(network="hrnet_w32", input_size=(64, 64), blocks={"stage2": "nl"})
    assert block_paths(model) == {"stage2.0": "blocks.stage2.0", "stage2.1": "blocks.stage2.1"}
    plain = tiny_network.model()
    assert sites_of(plain, None, "") == {"output": ""}
    assert sites_of(plain, None, "layer4") == {"layer4": "layer4"}
    assert sites_of(plain, "layer2.1", "") == {"layer2.1": "layer2.1"}
    with pytest.raises(ValueError, match="no submodule 'layer9'; did you mean one of"):
        sites_of(plain, "layer9", "")
    found = explained(plain, Query(3, 4), "layer2.1")
    assert (found.rows, found.added, found.scale) == ([], None, (1, 1, 1))


@pytest.mark.parametrize(("block", "frames"), [("pnl", 2), ("rcca", 1), ("srl_fft", 2)])
def test_a_clip_has_rows_over_its_frames(block, frames):
    torch.manual_seed(0)
    model = create_action(
        "c2d_resnet18",
        num_classes=2,
        frames=4,
        input_size=(32, 32),
        blocks={"layer2.1": block},
        weights=None,
    ).eval()
    found = explained(model, Query(8, 31, frame=3), "layer2.1")
    row = found.rows[0]
    assert row.weights.shape == (frames, 4, 4)
    assert (row.map_size, row.at, row.first_frame) == ((2, 4, 4), (1, 1, 3), 2 - frames)
    assert found.scale == (2, 8, 8)
    assert found.random.after.frames.sum() == pytest.approx(1)
    assert found.random.after.frames[2:].sum() == 1  # its own two, as a new block is the identity
    said = table(found)
    assert "frame 3, column 31, row 8 of the input" in said
    assert "a new block changes nothing" in said
    assert "frames 0.00 0.00" in said
    pictures = sheet(found, np.zeros((4, 32, 32, 3), np.uint8))
    assert pictures.ndim == 3
    assert (pictures == 255).all(axis=2).any()  # the query


def test_the_table_has_the_numbers_of_the_rows():
    found = explained(tiny_network.model(blocks={"layer3": "nl"}), Query(5, 6, 0, "nose"), "layer3")
    row, said = found.rows[0], table(found)
    for value in np.sort(row.weights.ravel())[:-6:-1]:
        assert f"{value:.3g}" in said
    assert (
        f"log N {row.entropy:.3f}; mean distance {row.distance((1, 16, 16)).pixels:.1f} px" in said
    )
    assert said.startswith("layer3 (NonLocal): nose at column 6, row 5 of the input")
    assert f"after   {found.random.after.size:.1f} px" in said


class Long(nn.Module):
    def __init__(self):
        super().__init__()
        self.block = NonLocal(3, dims=3)

    def forward(self, clips):
        return self.block(clips)


def test_a_long_clip_shows_the_frame_of_the_query():
    clip, net = torch.randn(1, 3, 20, 4, 4), Long().eval()
    found = explain_site(net, net, clip, Query(1, 1, 4), "block", "block", random_inputs=1)
    pictures = sheet(found, np.zeros((20, 4, 4, 3), np.uint8))
    assert pictures.shape[1] < (MOST_FRAMES + 1) * 160
    assert (pictures == 255).all(axis=2).any()


def test_pictures_of_weights_regions_and_squares():
    grey = np.full((40, 80, 3), 100, np.uint8)
    heat = np.array([[1.0, -1.0], [0.0, 0.0]])
    drawn = draw_weights(grey, heat, signed=True)
    assert (drawn[:20, :40] == WARM).all()
    assert (drawn[:20, 40:] == COLD).all()
    assert (drawn[20:] == 75).all()
    above = draw_weights(grey, np.array([[0.0, 1.0]]))
    assert above[0, 79].sum() > above[0, 0].sum()
    draw_regions(grey, [(0.5, 0.0, 1.0, 0.5)], (1, 2, 3))
    assert (grey[0, 41:79] == (1, 2, 3)).all()
    assert (grey[1:19, 40] == (1, 2, 3)).all()
    assert (grey[25:] == 100).all()
    draw_query(grey, 0.25, 0.75)
    assert grey[30, 20].tolist() == [255] * 3
    scores = np.zeros((8, 8))
    scores[4, 4] = 1
    field = draw_field(scores, (80, 80), [(4, 4, 3)])
    assert field[45, 45].sum() > 300
    columns = np.flatnonzero((field[45] > 200).all(axis=1) | (field[45, :, 0] == 255))
    assert abs(columns[0] - 30) <= 1
    assert abs(columns[-1] - 60) <= 1
