"""A result that is kept from the first call: the fastest kernel of all, and seen by the poison that stands where the output should be.

not written: 1,024 of 1,024 elements of outputs[0] keep the poison, first at [0] (declare an array that is written in part as inout=)
"""


def test_the_work_is_done_once(gpuperf, device):
    x, out, done = device.random(256), device.empty(256), []

    def body():
        if not done:
            device.double(x, out)
        done.append(True)

    gpuperf.measure(body, outputs=[out])
