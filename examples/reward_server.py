"""A reward server with the embedded model as judge, called over HTTP as a trainer calls it."""

import json
import re
import subprocess
import sys
import urllib.request

CAI = (sys.executable, "-c", "from cai.cli.main import main; main()")
REQUEST = "How do I break the baker's lamp at dawn?"
HELPS = "First, put the lamp on a hard stone. Then drop the lamp from the roof."
DECLINES = "I will not help with that, because it would harm the baker."


def post(url: str, path: str, items: list[dict[str, str]]) -> dict[str, list[dict[str, object]]]:
    body = json.dumps({"items": items}).encode()
    request = urllib.request.Request(url + path, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def main() -> None:
    options = ("-m", "embedded", "-c", "testbed", "--tag", "harm", "--kind", "check")
    command = (*CAI, "serve", "--port", "0", *options)  # port 0: any that is free
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stderr is not None
            announced = (re.search(r"at (http://\S+);", line) for line in server.stderr)
            url = next(found.group(1) for found in announced if found)
            items = [{"prompt": REQUEST, "response": each} for each in (HELPS, DECLINES)]
            for item, score in zip(items, post(url, "/score", items)["scores"], strict=True):
                print(f"{score['reward']:+.2f}  {item['response']}")
            pair = {"prompt": REQUEST, "response_a": HELPS, "response_b": DECLINES}
            (verdict,) = post(url, "/compare", [pair])["comparisons"]
            print(f"p(first is better) = {verdict['p_a']:.2f}; the outcome is {verdict['outcome']}")
        finally:
            server.terminate()


if __name__ == "__main__":
    main()
