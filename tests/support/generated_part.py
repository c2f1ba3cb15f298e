"""The part of a page that is made from the code: what stands between `<!-- name -->` and `<!-- /name -->`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class GeneratedPart:
    """A part of a page, without the line breaks at its ends."""

    page: Path
    name: str

    def read(self) -> str:
        """The part as the page has it."""
        found = self._pattern.search(self.page.read_text())
        assert found, f"{self.page} has no place for {self.name}"
        return found.group()

    def write(self, part: str) -> None:
        """Put this in its place."""
        self.page.write_text(self._pattern.sub(lambda _: part, self.page.read_text()))

    @property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile(rf"(?<=<!-- {self.name} -->\n).*?(?=\n<!-- /{self.name} -->)", re.DOTALL)
