import numpy as np
from armour.tensor import zoo
import armour.tensor as T
from armour.tensor import Tensor
from armour.tensor.recording import record
from armour.tensor.passes import *
from armour.tensor.plan import Plan
from armour.tensor.core import backward_pass
from armour.tensor.module import frozen
rng=np.random.default_rng(0)
m=zoo.build('vgg-small',(3,32,32),10,rng=0).eval()
def fn(x,y):
    leaf=Tensor(x.data,requires_grad=True)
    with frozen(m):
        z=m(leaf); l=T.cross_entropy(z,y)
        (_,g),=backward_pass([l],[Tensor(np.ones(l.shape,'f'))],[leaf],False,False)
    return z,l,g
x=rng.random((8,3,32,32),dtype=np.float32); y=rng.integers(0,10,8)
r=record(fn,[Tensor(x),Tensor(y)])
p=Plan(optimise(r.program),np,('numpy',))
for a,b in zip(p(*r.example),r.expected):
    d=np.abs(a-b); print(a.shape, d.max()/np.abs(b).max(), np.mean(d>1e-3*np.abs(b).max()))
    if a.ndim==4: print(d.max(axis=(1,2,3)))
for s in p.program.steps: print('   ',s)
