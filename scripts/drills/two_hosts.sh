#!/usr/bin/env bash
# Two hosts, as in the README: target on 192.0.2.1, client on 192.0.2.2, a cable between them.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need root netns python3
two_namespaces

# A control plane that others can reach must have a secret.
run 10 no_token ip netns exec "$NS_A" env -u BRINK_TOKEN "$BRINK" target --listen 192.0.2.1:7000
expect_rc no_token 2
expect_line no_token '--token'

bg_target target ip netns exec "$NS_A" "$BRINK" target --model mio --listen 192.0.2.1:7000 --token s3cret
target=$LAST_PID
# A wait makes the rate a matter of arithmetic, so that a busy machine is not the verdict.
run 30 load ip netns exec "$NS_B" "$BRINK" load --target 192.0.2.1:7000 --token s3cret -c 2000 --delay 500ms \
    --warmup 1s -d 2s --format json
expect_rc load 0 5
check_clean load.out 2000
check_json load.out 'len(r["usage"]["target"]) > 5
    and any((s["user_bytes"] or 0) > 0 and s["live"] == 2000 for s in r["usage"]["target"])' 'samples of the target'
check_json load.out 'r["case"]["target"]["model"] == "mio" and r["facts"]["target"] is not None'

# By the secret from the environment, too.
run 20 by_env ip netns exec "$NS_B" env BRINK_TOKEN=s3cret "$BRINK" load --target 192.0.2.1:7000 -c 10 --delay 50ms \
    --warmup 100ms -d 500ms --format json
expect_rc by_env 0 5
check_clean by_env.out 10

for given in none wrong; do
    flags=()
    if [[ $given == wrong ]]; then flags=(--token other); fi
    run 10 "token_$given" ip netns exec "$NS_B" env -u BRINK_TOKEN "$BRINK" load --target 192.0.2.1:7000 \
        "${flags[@]}" -c 10 -d 1s
    expect_rc "token_$given" 1
    expect_line "token_$given" '^brink: .*token'
done
for file in load.err load.out token_wrong.err target.out target.err; do
    if grep -q s3cret "$file"; then fail "the token is in $file"; fi
done
end "$target"

# A stranger's server is loaded only on the word of its owner.
bg_target echo ip netns exec "$NS_A" python3 "$drills_dir/echo.py" --listen 192.0.2.1:7100
run 10 stranger ip netns exec "$NS_B" "$BRINK" load --target 192.0.2.1:7100 -c 10 -d 1s
expect_rc stranger 1
expect_line stranger '--external'
run 20 external ip netns exec "$NS_B" "$BRINK" load --target 192.0.2.1:7100 --external -c 100 --think 100ms \
    --warmup 200ms -d 1s --format json
expect_rc external 0 5
check_clean external.out 100
check_json external.out 'r["facts"]["target"] is None and r["requests"]["completed"] > 100'
