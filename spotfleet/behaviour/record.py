"""What an API of AWS says of one thing, as boto3 returns it."""

from collections.abc import Mapping
from typing import Any

Record = Mapping[str, Any]
