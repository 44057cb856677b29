#!/usr/bin/env bash
# Nothing here needs root: a short sweep as nobody.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need root python3 setpriv
chmod 755 "$DRILL_WORK"
mkdir mine
chown 65534:65534 mine
cp "$DRILL_ROOT/configs/smoke.toml" smoke.toml
chmod 644 smoke.toml
as_nobody=(setpriv --reuid=65534 --regid=65534 --clear-groups env HOME=/nonexistent)

run 40 sweep "${as_nobody[@]}" "$BRINK" sweep smoke.toml --out mine/run
expect_rc sweep 0 5
[[ -s mine/run/report.html && -s mine/run/plan.json ]] || fail "no report.html or plan.json"
planned=$(show_json mine/run/plan.json 'len(r["cases"])')
results=(mine/run/0*.json)
[[ ${#results[@]} == "$planned" ]] || fail "${#results[@]} results of $planned cases"
for result in "${results[@]}"; do
    check_clean "$result" "$(show_json "$result" 'r["case"]["load"]["connections"]')"
    check_json "$result" 'any((s["user_bytes"] or 0) > 0 for s in r["usage"]["target"])
        and any((s["user_bytes"] or 0) > 0 for s in r["usage"]["client"])'
done

# A folder that is not theirs: one line, before anything runs.
mkdir -m 755 theirs
run 10 theirs "${as_nobody[@]}" "$BRINK" sweep smoke.toml --out theirs/run
expect_rc theirs 2
expect_line theirs 'theirs/run.*[Pp]ermission denied'
