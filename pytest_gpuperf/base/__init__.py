"""`--gpuperf-base`: the code of another commit in a process of its own, which takes turns with this one."""
