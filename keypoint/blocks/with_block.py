"""A submodule followed by a block, with which `insert_blocks` replaces the submodule."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from keypoint.blocks.layout import ChannelsFirst, Layout


class WithBlock(nn.Sequential):
    """A submodule, `site`, followed by a block, `block`; called as the submodule was."""

    site: nn.Module
    block: nn.Module
    layout: Layout = ChannelsFirst()  # of the submodule's map; the block always gets B C H W

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """Arguments of the submodule -> a map, of its shape."""
        return self.layout.through(self.block, self.site(*args, **kwargs))

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *rest: Any) -> None:
        """Explain why weights of the network without the block do not fit, strict or not."""
        super()._load_from_state_dict(state_dict, prefix, *rest)
        known = (f"{prefix}site.", f"{prefix}block.")
        if any(key.startswith(prefix) and not key.startswith(known) for key in state_dict):
            errors: list[str] = rest[-1]
            errors.append(
                f"the state dict has {prefix}* but no {prefix}block.*: weights of the network "
                f"without the block after {prefix[:-1]!r} are loaded first, and insert_blocks is "
                "called afterwards."
            )
