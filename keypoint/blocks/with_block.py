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
        """Explain why weights without the block, or of another size, do not fit, strict or not.

        Raises:
            RuntimeError: The weights are of the network without the block. In torch's list of
                errors this would come after all missing names.
        """
        known = (f"{prefix}site.", f"{prefix}block.")
        if any(key.startswith(prefix) and not key.startswith(known) for key in state_dict):
            raise RuntimeError(
                "load these weights before insert_blocks: they are of a network without the block "
                f"after {prefix[:-1]!r} (the state dict has {prefix}* but no {prefix}block.*)"
            )
        super()._load_from_state_dict(state_dict, prefix, *rest)
        for name, own in self.block.named_parameters():
            given = state_dict.get(f"{prefix}block.{name}")
            if isinstance(given, Tensor) and own.ndim and given.shape != own.shape:
                errors: list[str] = rest[-1]
                errors.insert(
                    0,
                    f"the block after {prefix[:-1]!r} was built for another size or with other "
                    "options: insert the blocks with an example of the same size, and with the "
                    "same options, as when these weights were saved",
                )
                break
