"""Through the output matrix and back, without the logits of a whole vocabulary.

With z = W h + c, target y and e_v = exp(z_v - z_y), S = sum of e_v over v != y:

    NLL = ln(1 + S)         d NLL / dh = (sum over v != y of e_v W_v - S W_y) / (1 + S)

so one pass over blocks of the vocabulary does both, and nothing is taken away from what is nearly
the same where the model is sure. A block with larger logits rescales what is there. Where logits
are capped, z = cap tanh(y / cap), each e_v counts 1 - (z_v / cap)^2 in the gradient.
"""

from typing import TYPE_CHECKING

from core.engines.logits import Head

if TYPE_CHECKING:
    import torch

ROWS = 768  # positions at a time: enough to read the matrix seldom


def through_head(
    head: Head, hidden: "torch.Tensor", targets: "torch.Tensor", share: "torch.Tensor"
) -> "tuple[torch.Tensor, torch.Tensor]":
    """NLL (r,) of the targets, and the gradient (r, d) of sum(share * NLL) by `hidden` (r, d)."""
    import torch

    with torch.no_grad():
        parts = zip(hidden.split(ROWS), targets.split(ROWS), share.split(ROWS), strict=True)
        found = [_some(head, h, y, w) for h, y, w in parts]
    return torch.cat([nll for nll, _ in found]), torch.cat([gradient for _, gradient in found])


def _some(
    head: Head, h: "torch.Tensor", y: "torch.Tensor", share: "torch.Tensor"
) -> "tuple[torch.Tensor, torch.Tensor]":
    """See `through_head`; a few positions. All sums are kept times exp(z_y - top), in float32."""
    import torch

    target = head.weight[y].float()
    own = torch.linalg.vecdot(h.float(), target)[:, None]  # z_y (r, 1)
    if head.bias is not None:
        own += head.bias[y].float()[:, None]
    if head.cap:
        own = own.div_(head.cap).tanh_().mul_(head.cap)
    top = own.to(h.dtype).float()
    others = torch.zeros_like(own)  # S
    pulled = torch.zeros_like(target)  # sum of e_v W_v
    start = 0
    for z in head.blocks(h):
        end = start + z.shape[1]
        inside = ((y >= start) & (y < end)).nonzero()[:, 0]
        z[inside, y[inside] - start] = -torch.inf
        slope = 1 - (z / head.cap).clamp_(min=-1).square_() if head.cap else None
        new = torch.maximum(top, z.amax(1, keepdim=True).float())
        shrink = torch.sub(top, new).exp_()
        top = new
        e = z.sub_(new.to(z.dtype)).exp_()
        others.mul_(shrink).add_(e.sum(1, keepdim=True, dtype=torch.float32))
        e = e if slope is None else e.mul_(slope)
        _add_product(pulled.mul_(shrink), e, head.weight[start:end])
        start = end
    itself = torch.sub(own, top).exp_()  # 1 where no token is likelier
    nll = torch.log1p(itself - 1 + others) + top - own
    back = others * (1 - (own / head.cap).square_()) if head.cap else others
    gradient = torch.addcmul(pulled, back, target, value=-1)
    return nll[:, 0], gradient.mul_(share[:, None] / (itself + others)).to(h.dtype)


def _add_product(total: "torch.Tensor", a: "torch.Tensor", b: "torch.Tensor") -> None:
    """Add a b to a float32 total."""
    if a.dtype == total.dtype:
        total.addmm_(a, b)
    else:
        total.add_(a @ b)
