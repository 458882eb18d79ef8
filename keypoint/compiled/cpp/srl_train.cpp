// The Fourier SRL block in training, with the batch's own statistics, and its gradients. `compiled_training.py` has the
// algebra and calls this.
//
// A batch norm needs the sums over all frequencies of all samples, so the forward pass is split at the two norms, and so
// is the backward pass: six functions. Values between them are kept as lines: for each task (a group G of a sample B)
// and each column V of the spectrum, H frequencies with adjacent channels of the group.
//
// Letters: as in group.hpp, and K hidden maps of a group. Weights are inputs before outputs, with the real parts of a
// group's channels before the imaginary ones. All functions return 0 if done, 1 if there is no memory.

#include "group.hpp"
#include "mixing.hpp"
#include "statistics.hpp"

namespace {

using namespace keypoint;

// A thread's own memory, and the place of a task's parts in the kept values.
struct Task {
    const Sizes sizes;
    const Transform f;
    const long h, maps, k;
    const Floats spectra, line, scratch, hidden, zeros;
    int number;

    explicit Task(const Sizes& s)
        : sizes(s), f(s.map(), s.groups), h(s.height), maps(2 * f.s),
          k(s.hidden), spectra(floats(f.spectra())), line(floats(f.line())), scratch(floats(f.scratch())),
          hidden(floats(3 * h * k)), zeros(floats(maps + k)) {
        if (zeros) std::fill_n(zeros.get(), maps + k, 0.f);
    }

    bool ready() const { return spectra && line && scratch && hidden && zeros; }
    int group() const { return number % sizes.groups; }
    long map() const { return number / sizes.groups * f.map.size() + f.map.at(0, group() * f.s); }
    long frequency(int column) const { return (static_cast<long>(number) * f.v + column) * h; }
    // Columns that also count for their mirror image.
    bool twice(int column) const { return column > 0 && column < f.v - 1; }

    void rows(const float* x) const { f.rows(x + map(), spectra.get(), line.get(), scratch.get()); }
    void column(int column, float* to) const { f.column(spectra.get(), column, to, scratch.get()); }
    void column_back(float* from, int column) const { f.column_back(from, column, spectra.get(), scratch.get()); }
    void add_rows(const float* x, float* y, float factor) const {
        f.add_rows(spectra.get(), x + map(), y + map(), factor, line.get(), scratch.get());
    }
};

template <typename Work>
int for_all_tasks(const Sizes& sizes, Work work) {
    int failed = 0;
#pragma omp parallel num_threads(sizes.threads)
    {
        Task task(sizes);
        const bool ready = task.ready();
        if (!ready) {
#pragma omp atomic write
            failed = 1;
        }
#pragma omp for schedule(dynamic)
        for (int number = 0; number < sizes.batch * sizes.groups; number++) {
            task.number = number;
            if (ready) work(task);
        }
    }
    return failed;
}

// y = a x + b z + c with one a, b and c for each of n columns; without b, no z.
void combine(const float* a, const float* x, const float* b, const float* z, const float* c, float* y, long rows,
             long n) {
    for (long i = 0; i < rows * n; i += n)
        for (long o = 0; o < n; o += LANES) {
            Vec value = load(a + o) * load(x + i + o) + load(c + o);
            if (b) value += load(b + o) * load(z + i + o);
            store(y + i + o, value);
        }
}

void scale(float* x, float factor, long n) {
    for (long i = 0; i < n; i += LANES) store(x + i, factor * load(x + i));
}

}  // namespace

extern "C" {

// z = f(x), not scaled; r = reduce z, and each task's means and squared differences of it (B, G, K), at zero before.
int srl_reduce(const Sizes* sizes, const float* x, const float* reduce, float* z, float* r, double* mean,
               double* squares) {
    return for_all_tasks(*sizes, [=](const Task& t) {
        t.rows(x);
        for (int column = 0; column < t.f.v; column++) {
            float *z_line = z + t.frequency(column) * t.maps, *r_line = r + t.frequency(column) * t.k;
            t.column(column, z_line);
            mix(z_line, reduce + t.group() * t.maps * t.k, t.zeros.get(), r_line, t.h, t.maps, t.k);
            add_moments(r_line, t.h, t.k, column * t.h, mean + t.number * t.k, squares + t.number * t.k);
        }
    });
}

// n = scale r + shift, the first norm; e = expand max(w n + b, 0), and its moments (B, G, 2S).
int srl_expand(const Sizes* sizes, const float* r, const float* scale, const float* shift, const float* relu_weight,
               const float* relu_bias, const float* expand, float* e, double* mean, double* squares) {
    return for_all_tasks(*sizes, [=](const Task& t) {
        float* hidden = t.hidden.get();
        for (int column = 0; column < t.f.v; column++) {
            float* e_line = e + t.frequency(column) * t.maps;
            combine(scale + t.group() * t.k, r + t.frequency(column) * t.k, nullptr, nullptr,
                    shift + t.group() * t.k, hidden, t.h, t.k);
            for (long i = 0; i < t.h; i++) {
                const float w = relu_weight[i * t.f.v + column], b = relu_bias[i * t.f.v + column];
                for (float* here = hidden + i * t.k; here < hidden + (i + 1) * t.k; here += LANES) {
                    const Vec value = w * load(here) + b;
                    store(here, value < 0 ? Vec{} : value);  // NaN stays NaN
                }
            }
            mix(hidden, expand + t.group() * t.k * t.maps, t.zeros.get(), e_line, t.h, t.k, t.maps);
            add_moments(e_line, t.h, t.maps, column * t.h, mean + t.number * t.maps, squares + t.number * t.maps);
        }
    });
}

// y = x + factor f^-1(scale e + shift), the second norm.
int srl_add(const Sizes* sizes, const float* e, const float* scale, const float* shift, const float* x, float* y,
            float factor) {
    return for_all_tasks(*sizes, [=](const Task& t) {
        for (int column = 0; column < t.f.v; column++) {
            combine(scale + t.group() * t.maps, e + t.frequency(column) * t.maps, nullptr, nullptr,
                    shift + t.group() * t.maps, t.line.get(), t.h, t.maps);
            t.column_back(t.line.get(), column);
        }
        t.add_rows(x, y, factor);
    });
}

// The adjoint of f^-1: q of the result's gradient g, and sums of q and of q (e - mean) (B, G, 2S), at zero before.
int srl_add_back(const Sizes* sizes, const float* g, const float* e, const float* mean, float* q, double* sum,
                 double* products) {
    return for_all_tasks(*sizes, [=](const Task& t) {
        t.rows(g);
        for (int column = 0; column < t.f.v; column++) {
            float* q_line = q + t.frequency(column) * t.maps;
            t.column(column, q_line);
            if (t.twice(column)) scale(q_line, 2, t.h * t.maps);
            add_sums(q_line, e + t.frequency(column) * t.maps, mean + t.group() * t.maps, t.h, t.maps,
                     sum + t.number * t.maps, products + t.number * t.maps);
        }
    });
}

// From q to gn, the gradient of n: back through the second norm, which is a q + b e + c, the expansion and the ReLU.
// Also the gradients of these of each task, at zero before, expand's (B, G, K, 2S) and the ReLU's (B, G, V, H); and
// sums of gn and gn (r - mean), (B, G, K).
int srl_expand_back(const Sizes* sizes, const float* q, const float* e, const float* a, const float* b, const float* c,
                    const float* r, const float* scale, const float* shift, const float* mean,
                    const float* relu_weight, const float* relu_bias, const float* expand_transposed, float* gn,
                    float* grad_expand, float* grad_relu_weight, float* grad_relu_bias, double* sum,
                    double* products) {
    return for_all_tasks(*sizes, [=](const Task& t) {
        const long maps = t.group() * t.maps, hidden = t.group() * t.k;
        float *n = t.hidden.get(), *h = n + t.h * t.k, *gh = h + t.h * t.k, *ge = t.line.get();
        for (int column = 0; column < t.f.v; column++) {
            const long at = t.frequency(column);
            combine(a + maps, q + at * t.maps, b + maps, e + at * t.maps, c + maps, ge, t.h, t.maps);
            mix(ge, expand_transposed + maps * t.k, t.zeros.get(), gh, t.h, t.maps, t.k);
            combine(scale + hidden, r + at * t.k, nullptr, nullptr, shift + hidden, n, t.h, t.k);
            for (long i = 0; i < t.h; i++) {
                const float w = relu_weight[i * t.f.v + column], bias = relu_bias[i * t.f.v + column];
                Vec of_weight = {}, of_bias = {};
                for (long o = i * t.k; o < (i + 1) * t.k; o += LANES) {
                    const Vec value = w * load(n + o) + bias, grad = value <= 0 ? Vec{} : load(gh + o);
                    store(h + o, value < 0 ? Vec{} : value);
                    of_weight += grad * load(n + o);
                    of_bias += grad;
                    store(gn + at * t.k + o, w * grad);
                }
                grad_relu_weight[at + i] = sum_of(of_weight);
                grad_relu_bias[at + i] = sum_of(of_bias);
            }
            add_outer(h, ge, grad_expand + t.number * t.k * t.maps, t.h, t.k, t.maps);
            add_sums(gn + at * t.k, r + at * t.k, mean + hidden, t.h, t.k, sum + t.number * t.k,
                     products + t.number * t.k);
        }
    });
}

// From gn to gx = g + the gradient through f: back through the first norm, a gn + b r + c, the reduction, whose
// gradients of each task (B, G, 2S, K) are added up, and f.
int srl_reduce_back(const Sizes* sizes, const float* gn, const float* r, const float* a, const float* b,
                    const float* c, const float* z, const float* reduce_transposed, const float* g, float* gx,
                    float* grad_reduce) {
    return for_all_tasks(*sizes, [=](const Task& t) {
        const long hidden = t.group() * t.k;
        float *gr = t.hidden.get(), *gz = t.line.get();
        for (int column = 0; column < t.f.v; column++) {
            const long at = t.frequency(column);
            combine(a + hidden, gn + at * t.k, b + hidden, r + at * t.k, c + hidden, gr, t.h, t.k);
            add_outer(z + at * t.maps, gr, grad_reduce + t.number * t.maps * t.k, t.h, t.maps, t.k);
            if (t.twice(column)) scale(gr, 0.5f, t.h * t.k);
            mix(gr, reduce_transposed + hidden * t.maps, t.zeros.get(), gz, t.h, t.k, t.maps);
            t.column_back(gz, column);
        }
        t.add_rows(g, gx, 1);
    });
}
}
