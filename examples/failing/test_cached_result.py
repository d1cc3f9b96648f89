"""A result that is kept from the first call: the fastest kernel of all, and seen by the poison that stands where the output should be.

    SAYS
"""


def test_the_work_is_done_once(gpuperf, device):
    x, out, done = device.random(64), device.empty(64), []

    def body():
        if not done:
            device.double(x, out)
        done.append(True)

    gpuperf.measure(body, outputs=[out])
