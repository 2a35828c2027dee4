import numpy as np
from armour.tensor import zoo, OPS
from armour.tensor.kernels import numpy_kernels as K
from armour.tensor.program import *
from armour.tensor.units import *
from armour.tensor.plan import Plan
rng=np.random.default_rng(0)
for C,O,H,n in [(3,32,32,8),(32,32,32,8),(32,64,16,8),(64,64,16,8),(128,128,8,8),(16,16,32,8)]:
    x=rng.standard_normal((n,C,H,H)).astype('f'); w=rng.standard_normal((O,C,3,3)).astype('f')
    from armour.tensor import Tensor
    xi=Value(x.shape,x.dtype,'input'); wi=Value(w.shape,w.dtype,'weight',source=Tensor(w)); o=Value((n,O,H,H),x.dtype,'step',True)
    at=dict(stride=(1,1),padding=(1,1),dilation=(1,1),groups=1)
    p=Plan(Program([xi],[Step(CONV,(xi,wi),at|dict(bias=False,residual=False,relu=False),(o,))],[o]),np,('numpy',))
    ref=K.conv2d(np,x,w,None,**at)
    print(C,O,H,np.abs(p(x)[0]-ref).max(), K.block_size(n*H,H,(3,3),1,1,C,O,1), len(p._calls))
