#!/usr/bin/env bash
# The quickstart of docs/federation.md, followed to the letter: its first block starts the nodes,
# its second one is typed line by line, and each line has to print what the third one says. Only
# ports that are in use are replaced.
#
#   examples/test_quickstart.sh

# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
begin
cd "$EXAMPLES/.."

# block NUMBER: the lines of a block of the section.
block() {
    awk -v wanted="$1" '
        /^## / { inside = $0 == "## Quickstart" }
        inside && /^```/ { if (open) { open = 0 } else { open = 1; count++ }; next }
        inside && open && count == wanted' docs/federation.md |
        sed "s/\([: ]\)8080\b/\1$PORT_A/g; s/\([: ]\)8081\b/\1$PORT_B/g"
}

# free_port PREFERRED
free_port() {
    local port="$1"
    [[ "$port" != 0 ]] && port="$(port_or_any "$port")"
    if [[ "$port" == 0 ]]; then dead_port; else echo "$port"; fi
}

PORT_A="$(free_port "${PORT1:-8080}")"
PORT_B="$(free_port "${PORT2:-8081}")"
mkdir "$WORK_DIR/bin"
ln -s "$(realpath "$RELAY")" "$WORK_DIR/bin/relay"
PATH="$WORK_DIR/bin:$PATH"

phase "Nodes"
mapfile -t NODES < <(block 1)
check "four are started" 4 "${#NODES[@]}"
for number in "${!NODES[@]}"; do
    name="node$number"
    read -ra words <<<"${NODES[$number]}"
    check "line $((number + 1)) starts relay" relay "${words[0]}"
    start_node "$name" "${words[@]:1}"
done
for name in node0 node1; do
    offered $name alice.home blog_service
    offered $name bob.home shop_service
done

phase "Calls"
mapfile -t COMMANDS < <(block 2)
mapfile -t ANSWERS < <(block 3)
check "each command has an answer" "${#ANSWERS[@]}" "${#COMMANDS[@]}"
for number in "${!COMMANDS[@]}"; do
    check "${COMMANDS[$number]:0:60}…" "${ANSWERS[$number]}" "$(bash -c "${COMMANDS[$number]}")"
done
