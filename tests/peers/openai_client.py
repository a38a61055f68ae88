"""The official `openai` client against a running `cohort serve`.

    python openai_client.py http://127.0.0.1:8000/v1

Prints "ok" where everything holds; exits 77 where the package is not installed.
"""
import sys

try:
    import openai
except ImportError:
    print("the package openai is not installed: pip install openai")
    sys.exit(77)


def main():
    client = openai.OpenAI(base_url=sys.argv[1], api_key="none", max_retries=0, timeout=60)
    model = client.models.list().data[0].id

    whole = client.completions.create(
        model=model, prompt=["one", "two"], n=2, seed=3, max_tokens=12, temperature=0.7, logprobs=2,
        extra_body={"return_token_ids": True, "top_k": 20, "ignore_eos": True})
    assert [choice.index for choice in whole.choices] == [0, 1, 2, 3]
    assert whole.usage.completion_tokens == 48 and whole.choices[0].finish_reason == "length"
    assert len(whole.choices[1].logprobs.token_logprobs) == len(whole.choices[1].token_ids) == 12
    assert all(len(top) >= 2 for top in whole.choices[1].logprobs.top_logprobs)

    texts = ["", "", "", ""]
    for chunk in client.completions.create(
            model=model, prompt=["one", "two"], n=2, seed=3, max_tokens=12, temperature=0.7, stream=True,
            extra_body={"top_k": 20, "ignore_eos": True}):
        for choice in chunk.choices:
            texts[choice.index] += choice.text
    assert texts == [choice.text for choice in whole.choices], texts

    messages = [{"role": "system", "content": "short"}, {"role": "user", "content": [{"type": "text", "text": "hi"}]}]
    chat = client.chat.completions.create(
        model=model, messages=messages, seed=9, max_completion_tokens=10, logprobs=True, top_logprobs=3)
    message, logprobs = chat.choices[0].message, chat.choices[0].logprobs.content
    assert message.role == "assistant" and len(logprobs) == chat.usage.completion_tokens
    assert len(logprobs[0].top_logprobs) == 3 and logprobs[0].logprob <= 0

    pieces, usage, finish = "", None, None
    for chunk in client.chat.completions.create(
            model=model, messages=messages, seed=9, max_completion_tokens=10, stream=True,
            stream_options={"include_usage": True}):
        usage = chunk.usage or usage
        for choice in chunk.choices:
            pieces += choice.delta.content or ""
            finish = choice.finish_reason or finish
    assert pieces == message.content and finish == chat.choices[0].finish_reason
    assert usage.total_tokens == chat.usage.total_tokens

    for wrong in ({"temperature": -1}, {"max_tokens": 10**6}, {"n": 0}):
        try:
            client.completions.create(model=model, prompt="x", **wrong)
            raise AssertionError(f"{wrong} was taken")
        except openai.BadRequestError as error:
            assert error.body["param"] == next(iter(wrong)), error.body
    try:
        client.completions.create(model="another", prompt="x")
        raise AssertionError("another model was taken")
    except openai.NotFoundError as error:
        assert error.body["param"] == "model"
    print("ok")


main()
