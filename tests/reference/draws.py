"""The random prompts of a seed, drawn as pythia-probes documents it: ChaCha8, keyed by the seed and a name."""

import struct

DOMAIN = b"prompts/repeated-random\0"
MASK = 0xFFFFFFFF


def chacha8(key, stream):
    """Endless 32-bit words of ChaCha with 8 rounds, a 64-bit block counter and a 64-bit stream number."""
    constants = struct.unpack("<4I", b"expand 32-byte k")
    block = 0
    while True:
        counter = (block & MASK, block >> 32, stream & MASK, stream >> 32)
        start = [*constants, *struct.unpack("<8I", key), *counter]
        state = list(start)
        for _ in range(4):
            for a, b, c, d in ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15)):
                quarter(state, a, b, c, d)
            for a, b, c, d in ((0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14)):
                quarter(state, a, b, c, d)
        yield from ((x + y) & MASK for x, y in zip(state, start))
        block += 1


def quarter(state, a, b, c, d):
    for x, y, z, turn in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
        state[x] = (state[x] + state[y]) & MASK
        mixed = state[z] ^ state[x]
        state[z] = (mixed << turn | mixed >> (32 - turn)) & MASK


def half(seed, prompt, length, vocab, bos=0):
    """The random part of one prompt: ids drawn evenly from the vocabulary without the BOS."""
    words = chacha8(struct.pack("<Q", seed) + DOMAIN, prompt)
    choices = vocab - 1
    fair = 2**32 - 2**32 % choices
    ids = []
    while len(ids) < length:
        word = next(words)
        if word < fair:
            choice = word % choices
            ids.append(choice + (choice >= bos))
    return ids
