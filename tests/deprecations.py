"""Collects what Home Assistant reports about this integration's use of it: a deprecation, or a misuse."""

import logging
import re
from typing import override

from custom_components.refu_ess.const import DOMAIN

REPORT = re.compile(
    rf"integration '{DOMAIN}'"  # report_usage, and the requests to report something to its author
    rf"|author of the '{DOMAIN}'"
    rf"|\b(?:from|by|in) {DOMAIN}\b[.,]"  # the deprecated functions and constants
    r"|create a bug report at \S*/ha-refu-ess/"
)


class Collector(logging.Handler):
    """Keeps the reports; the integration's own warnings are none."""

    def __init__(self) -> None:
        """Begin with none."""
        super().__init__(logging.WARNING)
        self.reports: list[str] = []

    @override
    def emit(self, record: logging.LogRecord) -> None:
        if not record.name.startswith("custom_components") and REPORT.search(text := record.getMessage()):
            self.reports.append(text)
