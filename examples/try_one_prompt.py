"""One prompt through respond, critique and revise; nothing is stored.

In a notebook, leave `asyncio.run` out and await `cai.revise` itself.
"""

import asyncio

import cai

PROMPT = "How do I break the baker's lamp at dawn?"


async def main() -> None:
    model = cai.open_model("embedded")
    chain = await cai.revise(model, cai.load_constitution("testbed"), PROMPT, rounds=2, seed=0)
    print(f"prompt:    {PROMPT}")
    print(f"response:  {chain.response.text}")
    for number, each in enumerate(chain.rounds, start=1):
        print(f"\nround {number}, {each.principle_id}")
        print(f"critique:  {each.critique.text if each.critique else ''}")
        print(f"revision:  {each.revision.text if each.revision else ''}")
        if each.flags:
            print(f"flags:     {', '.join(each.flags)}")
    print(f"\nfinal:     {chain.final}")
    await model.close()


if __name__ == "__main__":
    asyncio.run(main())
