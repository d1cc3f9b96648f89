"""Lab: which copy kernel reaches the driver's own device copy, over unroll, cache hints, threads, and bulk copies through shared memory."""
import cupy as cp, statistics
N = 1 << 30
src = cp.empty(N, cp.uint8); dst = cp.empty(N, cp.uint8); src.fill(7)
CODE = r'''
template<int U, int HINT> __device__ void body(const uint4* s, uint4* d, long long n) {
  long long base = (long long)blockIdx.x * blockDim.x * U + threadIdx.x;
  uint4 v[U];
  unsigned long long pol = 0; if (HINT == 4) asm volatile("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(pol));
#pragma unroll
  for (int u = 0; u < U; ++u) { const uint4* p = s + base + (long long)u * blockDim.x;
    if (HINT == 0) v[u] = *p;
    if (HINT == 1) asm volatile("ld.global.nc.L1::no_allocate.L2::128B.v4.u32 {%0,%1,%2,%3}, [%4];" : "=r"(v[u].x), "=r"(v[u].y), "=r"(v[u].z), "=r"(v[u].w) : "l"(p));
    if (HINT == 2) v[u] = __ldcs(p);
    if (HINT == 3) asm volatile("ld.global.nc.L1::no_allocate.L2::256B.v4.u32 {%0,%1,%2,%3}, [%4];" : "=r"(v[u].x), "=r"(v[u].y), "=r"(v[u].z), "=r"(v[u].w) : "l"(p));
    if (HINT == 4) asm volatile("ld.global.L1::no_allocate.L2::cache_hint.v4.u32 {%0,%1,%2,%3}, [%4], %5;" : "=r"(v[u].x), "=r"(v[u].y), "=r"(v[u].z), "=r"(v[u].w) : "l"(p), "l"(pol));
  }
#pragma unroll
  for (int u = 0; u < U; ++u) { uint4* p = d + base + (long long)u * blockDim.x;
    if (HINT == 2 || HINT == 3) __stcs(p, v[u]);
    else if (HINT == 4) asm volatile("st.global.L2::cache_hint.v4.u32 [%0], {%1,%2,%3,%4}, %5;" :: "l"(p), "r"(v[u].x), "r"(v[u].y), "r"(v[u].z), "r"(v[u].w), "l"(pol));
    else *p = v[u];
  }
}
#define K(U,H) extern "C" __global__ void copy_##U##_##H(const uint4* s, uint4* d, long long n) { body<U,H>(s, d, n); }
K(1,0) K(2,0) K(4,0) K(8,0) K(16,0) K(2,1) K(4,1) K(8,1) K(4,2) K(8,2) K(4,3) K(8,3) K(4,4) K(8,4)
'''
mod = cp.RawModule(code=CODE, options=("-std=c++17",), name_expressions=None)
BULK = r'''
extern "C" __global__ void bulk(const char* s, char* d, long long n, int tile, int stages) {
  extern __shared__ __align__(128) char buf[];
  __shared__ __align__(8) unsigned long long bars[16];
  if (threadIdx.x != 0) return;
  unsigned base = (unsigned)__cvta_generic_to_shared(buf), bar = (unsigned)__cvta_generic_to_shared(bars);
  for (int i = 0; i < stages; ++i) asm volatile("mbarrier.init.shared.b64 [%0], 1;" :: "r"(bar + 8*i));
  asm volatile("fence.proxy.async.shared::cta;");
  long long tiles = n / tile, step = gridDim.x;
  long long first = blockIdx.x;
  auto load = [&](long long t, int st) {
    asm volatile("mbarrier.arrive.expect_tx.shared.b64 _, [%0], %1;" :: "r"(bar + 8*st), "r"(tile) : "memory");
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" :: "r"(base + st*tile), "l"(s + t*(long long)tile), "r"(tile), "r"(bar + 8*st) : "memory");
  };
  int half = stages / 2;
  long long ahead = first;
  for (int i = 0; i < half && ahead < tiles; ++i, ahead += step) load(ahead, i);
  int st = 0, ph = 0, lst = half % stages;
  for (long long t = first; t < tiles; t += step) {
    if (ahead < tiles) {
      asm volatile("cp.async.bulk.wait_group.read %0;" :: "n"(7) : "memory");
      load(ahead, lst); ahead += step; lst = lst + 1 == stages ? 0 : lst + 1;
    }
    unsigned ok = 0;
    while (!ok) asm volatile("{.reg .pred p; mbarrier.try_wait.parity.shared.b64 p, [%1], %2; selp.u32 %0, 1, 0, p;}" : "=r"(ok) : "r"(bar + 8*st), "r"(ph) : "memory");
    asm volatile("cp.async.bulk.global.shared::cta.bulk_group [%0], [%1], %2;" :: "l"(d + t*(long long)tile), "r"(base + st*tile), "r"(tile) : "memory");
    asm volatile("cp.async.bulk.commit_group;");
    if (++st == stages) { st = 0; ph ^= 1; }
  }
  asm volatile("cp.async.bulk.wait_group 0;" ::: "memory");
}
'''
def rate(f, reps=12):
    for _ in range(2): f()
    ts = []
    for _ in range(5):
        a, b = cp.cuda.Event(), cp.cuda.Event(); a.record()
        for _ in range(reps): f()
        b.record(); b.synchronize(); ts.append(cp.cuda.get_elapsed_time(a, b) / reps)
    return 2 * N / statistics.median(ts) / 1e9
print("driver copy TB/s", rate(lambda: cp.cuda.runtime.memcpyAsync(dst.data.ptr, src.data.ptr, N, 3, 0)))
rows = []
for name in "1_0 2_0 4_0 8_0 16_0 2_1 4_1 8_1 4_2 8_2 4_3 8_3 4_4 8_4".split():
    k = mod.get_function("copy_" + name); U = int(name.split("_")[0])
    for th in (64, 128, 256, 512, 1024):
        blocks = N // 16 // (th * U)
        try: rows.append((rate(lambda: k((blocks,), (th,), (src, dst, N // 16))), name, th, blocks))
        except Exception as e: print(name, th, str(e)[:60])
    assert bool((dst[:: 99991] == 7).all())
kb = cp.RawModule(code=BULK, options=("-std=c++17", "-arch=sm_90") if False else ("-std=c++17",)).get_function("bulk")
for tile in (4096, 8192, 16384):
    for stages in (16,):
        for per in (1, 2, 3, 4, 6):
            smem = tile * stages
            if smem * per > 220 * 1024: continue
            kb.max_dynamic_shared_size_bytes = smem
            try:
                dst.fill(0)
                r = rate(lambda: kb((132 * per,), (32,), (src, dst, cp.int64(N), cp.int32(tile), cp.int32(stages)), shared_mem=smem))
                ok = bool((dst == 7).all())
                rows.append((r, f"bulk tile {tile} stages {stages} ok={ok}", 32, 132 * per))
            except Exception as e: print("bulk", tile, stages, per, type(e).__name__, str(e)[:150])
for r in sorted(rows, key=lambda r: -r[0])[:22]: print(f"{r[0]:.3f} TB/s {r[1]} threads {r[2]} blocks {r[3]}")
print("all unroll/hint at 256:", [(f"{r[0]:.3f}", r[1]) for r in rows if r[2] == 256])
print("driver copy again TB/s", rate(lambda: cp.cuda.runtime.memcpyAsync(dst.data.ptr, src.data.ptr, N, 3, 0)))
