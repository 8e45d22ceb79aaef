"""A file to convert, read so that nothing of it is passed over in silence."""

from collections.abc import Iterator
from typing import Any


class ConversionError(ValueError):
    """A file that cannot be converted; the text says which, why, and what to do."""


class Part:
    """A mapping of a file, which knows what nobody has asked for yet. `where` is its place, such as http.alias."""

    def __init__(self, content: object, where: str = "") -> None:
        if content is not None and not isinstance(content, dict):
            raise ConversionError(f"{where or 'The file'} must be a mapping, not {type(content).__name__}.")
        self._content: dict[str, Any] = {str(key): value for key, value in (content or {}).items()}
        self._parts: list[Part] = []
        self.where = where

    def __contains__(self, key: str) -> bool:
        return key in self._content

    def place(self, key: str) -> str:
        """Return where a key stands in the file."""
        return f"{self.where}.{key}" if self.where else key

    def take(self, key: str, default: Any = None) -> Any:  # noqa: ANN401  # whatever a file says
        """Return a value, which counts as seen from now on."""
        return self._content.pop(key, default)

    def part(self, key: str) -> "Part":
        """Return a mapping in this one, empty where it is not there; what stays in it counts as not seen."""
        part = Part(self._content.pop(key, None), self.place(key))
        self._parts.append(part)
        return part

    def adopt(self, content: object, key: str) -> "Part":
        """Return a mapping that stands in a value that was taken, as an element of a list does."""
        part = Part(content, self.place(key))
        self._parts.append(part)
        return part

    def forget(self, *keys: str) -> None:
        """Pass over what means nothing here."""
        for key in keys:
            self._content.pop(key, None)

    def left(self) -> Iterator[str]:
        """Yield the place of whatever nobody has asked for; what is null or empty says nothing."""
        yield from (self.place(key) for key, value in self._content.items() if value not in (None, "", [], {}))
        for part in self._parts:
            yield from part.left()
