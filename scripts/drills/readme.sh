#!/usr/bin/env bash
# The commands of the README do what they say.
exec bash "$DRILL_ROOT/scripts/readme-check.sh"
