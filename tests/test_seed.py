"""The random inputs of a test can be made again."""

import random


def test_random_inputs_depend_on_the_seed_and_the_test_alone(generator, seed, request):
    again = random.Random(f"{seed} {request.node.nodeid}")
    other = random.Random(f"{seed + 1} {request.node.nodeid}")
    first = generator.random()
    assert first == again.random()
    assert first != other.random()
