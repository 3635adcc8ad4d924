"""What the numbers of other data_types say of a number: whose haemoglobin is low has a low haematocrit.

A decoder could find that out by attention, but the first number of a data_type is one event of a record, and hardly
asks for it (docs/log.md).
"""

from __future__ import annotations

from torch import Tensor, nn

WAYS = 16
"""Products that a number is told: few, for the numbers of all data_types together tell who somebody is."""
LOST = 0.5
"""Share of what is told that is dropped in training, for the same reason."""


class Others(nn.Module):
    """A vector for a number, of products of what its data_type says with what numbers so far do.

    All are read off embeddings of data_types, so that a new one begins like those that it is like.

    Args:
        d_model: Width of embeddings.
    """

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.of_numbers = nn.Linear(2 * d_model, WAYS, bias=False)
        self.of_type = nn.Linear(d_model, WAYS, bias=False)
        self.dropout = nn.Dropout(LOST)
        # embeddings are short at the start, and a product of two such would hardly learn
        nn.init.normal_(self.of_numbers.weight, std=0.5)
        nn.init.normal_(self.of_type.weight)

    def forward(self, own: Tensor, table: Tensor, told: Tensor) -> Tensor:
        """Return `(m, WAYS)`.

        Args:
            own: `(m, d_model)`, embeddings of the numbers' data_types.
            table: `(r, d_model)`, of those that are told.
            told: `(m, 2, r)` float32, how far from the middle the last number of each lies, and the `level` of all.
        """
        said = (self.dropout(told).to(table.dtype) @ table).flatten(1)
        product: Tensor = self.of_numbers(said) * self.of_type(own)
        return product
