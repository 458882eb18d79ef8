import cProfile,pstats,io,torch
from tests.blocks.test_orthogonal import *
def test_x():
    srl=block(); o=OPTIMIZERS["sgd"](srl.parameters())
    import time
    for i in range(4):
        c=time.process_time(); t=time.time(); train(srl,o,100); print(i, time.process_time()-c, time.time()-t)
    p=cProfile.Profile(); p.enable(); train(srl,o,100); p.disable()
    pstats.Stats(p).sort_stats("tottime").print_stats(10)
