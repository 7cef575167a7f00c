"""Nonces for an API key: strictly increasing across restarts, crashes, clock steps and processes.

A venue rejects a request whose nonce is not higher than every earlier nonce of the same API key.
This package hands out such nonces and can be used without the rest of botkit:

    nonces = open_nonces(Path("nonces"), api_key, metrics)
    await nonces.reserve()
    async with nonces.request_lock():
        await send(nonce=nonces.issue())
    nonces.close()

Modules: `issuer` is the interface a client uses; `exclusive` and `shared` count for one process or
for several; `ceiling` is the durable file below which they count; `folder` locks a key's directory;
`rate` measures.
"""
