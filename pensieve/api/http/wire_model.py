"""What the bodies of both wire formats have in common."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Temperature = Annotated[float, Field(ge=0.0, le=2.0, allow_inf_nan=False)]
Probability = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
Penalty = Annotated[float, Field(ge=-2.0, le=2.0, allow_inf_nan=False)]
StopSequence = Annotated[str, Field(min_length=1)]
Name = Annotated[str, Field(min_length=1, max_length=256)]


class WireModel(BaseModel):
    """Strict: "5" is not accepted as a number, and neither is true."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True, protected_namespaces=())
