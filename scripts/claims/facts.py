#!/usr/bin/env python3
"""Says which Python the claims are measured with, as one JSON object: version, implementation, whether there is a GIL,
and which of the packages of requirements.txt are there. Measures nothing.
"""

import importlib
import json

from said import begin, facts


def version_of(package):
    try:
        return getattr(importlib.import_module(package), "__version__", "unknown")
    except ImportError:
        return None


def main():
    begin(__doc__).parse_args()
    print(json.dumps(dict(facts(), requests=version_of("requests"), aiohttp=version_of("aiohttp"))))


if __name__ == "__main__":
    main()
