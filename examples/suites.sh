#!/bin/sh
# Standard suites put to a policy before and, where AFTER names one, after training: two small ones
# of the testbed's world, in the columns of XSTest and of yes/no statements. The published files go
# in their place.
#
#   sh examples/suites.sh examples/suite_sides.csv examples/suite_statements.jsonl runs/suites
#   AFTER=hf:runs/chain/grpo sh examples/suites.sh …
set -eu

SIDES=$1
STATEMENTS=$2
OUT=$3
BEFORE=${BEFORE:-embedded}
AFTER=${AFTER:-}
JUDGE=${JUDGE:-embedded}

# Exit code 1 says that some examples failed; the others are there.
cai suites "$SIDES" "$STATEMENTS:behaviour" --policy "before=$BEFORE" \
    ${AFTER:+--policy "after=$AFTER"} --constitution testbed --tag harm --model "$JUDGE" \
    --response-tokens 64 --out "$OUT" || [ $? -eq 1 ]
