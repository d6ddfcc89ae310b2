// What a step on several ranks takes, against computing alone and communicating alone.
//
//   mpirun -n 2 overlap_bench --networks resnet18,densenet121 --sizes 64,128 --rounds 31
//
// Alone, a rank trains on its own batch while the others do the same, without a word between them;
// or it fills the gradients' buckets and sums them over the ranks, without computing any. Together
// is what training does. All three are interleaved with each way to sum (tree: the fixed tree;
// plain: the backend's all-reduce), in rotating order; medians count. The bound for processors that
// compute and communicate themselves is the sum of the two; each step ends with an exchange of
// losses, which counts as communication. Ranks meet after `--steps`, alone, too: by default after
// each, so that both wait for whichever rank is the slower one.
#include <fmt/format.h>

#include <torch/csrc/distributed/c10d/reducer.hpp>

#include <cstdio>
#include <functional>

#include "core/base/error.h"
#include "core/base/stopwatch.h"
#include "distributed/mpi_backend.h"
#include "distributed/mpi_communicator.h"
#include "tests/benchmarks/benchmark_main.h"
#include "tests/benchmarks/options.h"
#include "tests/benchmarks/training_run.h"

namespace baleen {
namespace {

struct Arguments : TrainingRunOptions {
  std::vector<std::string> networks = {"resnet18", "densenet121"};
  std::vector<int64_t> sizes = {64, 128};
  int64_t rounds = 31;
  int64_t steps = 1;
  int64_t threads = 1;
};

/// The buckets of a network's gradients, as the reducer cuts them, and what it does with them.
class Buckets {
 public:
  Buckets(Backbone& network, Communicator& world)
      : ranks_(world.size()),
        backend_(c10::make_intrusive<MpiBackend>(dynamic_cast<MpiCommunicator&>(world).handle())) {
    const DataParallelOptions options;
    std::vector<at::Tensor> params;
    for (const at::Tensor& p : network.parameters()) params.insert(params.begin(), p.detach());
    const auto [indices, limits] = c10d::compute_bucket_assignment_by_size(
        params, {static_cast<size_t>(options.first_bucket_bytes),
                 static_cast<size_t>(options.bucket_bytes)});
    for (const std::vector<size_t>& some : indices) {
      Bucket bucket;
      int64_t numel = 0;
      for (const size_t i : some) numel += params[i].numel();
      bucket.flat = at::zeros({numel});
      int64_t offset = 0;
      for (const size_t i : some) {
        const at::Tensor& p = params[i];
        bucket.gradients.push_back(at::empty_like(p).fill_(1e-3));
        bucket.views.push_back(bucket.flat.as_strided(p.sizes(), p.strides(), offset));
        offset += p.numel();
      }
      buckets_.push_back(std::move(bucket));
    }
  }

  /// A step's communication.
  void reduce(bool fixed_tree) {
    const at::NoGradGuard no_grad;
    std::vector<c10::intrusive_ptr<c10d::Work>> works;
    for (Bucket& bucket : buckets_) {
      for (size_t i = 0; i < bucket.views.size(); ++i) bucket.views[i].copy_(bucket.gradients[i]);
      std::vector<at::Tensor> one{bucket.flat};
      works.push_back(fixed_tree ? backend_->tree_all_reduce(ranks_, one, bucket.flat)
                                 : backend_->allreduce(one, {}));
    }
    for (const auto& work : works) work->wait();
    at::Tensor mine = at::zeros({1, 3}, at::kDouble);
    at::Tensor all = at::empty({ranks_, 3}, at::kDouble);
    backend_->_allgather_base(all, mine, {})->wait();
  }
  void close() { backend_->close(); }

 private:
  struct Bucket {
    at::Tensor flat;
    std::vector<at::Tensor> gradients, views;
  };
  int64_t ranks_;
  c10::intrusive_ptr<MpiBackend> backend_;
  std::vector<Bucket> buckets_;
};

struct Task {
  std::string name;
  std::function<void(int64_t steps)> run;
  std::vector<double> ms = {};
};

void compare(const Arguments& a, MpiEnvironment& mpi, Communicator& self) {
  const auto world = mpi.world();
  TrainingRun alone(a, 1, true, self);
  TrainingRun tree(a, 1, true, *world);
  TrainingRun plain(a, 1, false, *world);
  Buckets buckets(alone.network(), *world);
  std::vector<Task> tasks = {
      {"compute", [&](int64_t steps) { alone.train(steps); }},
      {"tree alone",
       [&](int64_t steps) {
         for (; steps > 0; --steps) buckets.reduce(true);
       }},
      {"tree", [&](int64_t steps) { tree.train(steps); }},
      {"plain alone",
       [&](int64_t steps) {
         for (; steps > 0; --steps) buckets.reduce(false);
       }},
      {"plain", [&](int64_t steps) { plain.train(steps); }},
  };
  for (Task& task : tasks) task.run(2);  // buckets are cut anew after the first step
  for (int64_t round = 0; round < a.rounds; ++round) {
    for (size_t j = 0; j < tasks.size(); ++j) {
      Task& task = tasks[(j + static_cast<size_t>(round)) % tasks.size()];
      world->barrier();
      const Stopwatch watch;
      task.run(a.steps);
      world->barrier();
      task.ms.push_back(1e3 * watch.elapsed_s() / static_cast<double>(a.steps));
    }
  }
  buckets.close();
  for (TrainingRun* run : {&alone, &tree, &plain}) run->close();
  if (world->rank() != 0) return;
  const double compute = median(tasks[0].ms);
  for (const size_t i : {size_t{1}, size_t{3}}) {
    const double communication = median(tasks[i].ms);
    const double together = median(tasks[i + 1].ms);
    std::string rounds;
    for (size_t r = 0; r < tasks[0].ms.size(); ++r)
      rounds += fmt::format("{}{:.2f}", r == 0 ? "" : ", ",
                            tasks[i + 1].ms[r] / (tasks[0].ms[r] + tasks[i].ms[r]));
    std::printf("| %s | %ld px | %s | %.1f ms | %.1f ms | %.1f ms | %.3f (%s) |\n",
                a.network.c_str(), static_cast<long>(a.size), tasks[i + 1].name.c_str(), compute,
                communication, together, together / (compute + communication), rounds.c_str());
  }
  std::fflush(stdout);
}

Arguments parse(int argc, char** argv) {
  Arguments a;
  read_options(argc, argv,
               {{"--networks", &a.networks},
                {"--sizes", &a.sizes},
                {"--batch", &a.batch},
                {"--rounds", &a.rounds},
                {"--steps", &a.steps},
                {"--threads", &a.threads}});
  return a;
}

void measure(Arguments a, MpiEnvironment& mpi) {
  const auto self = mpi.make_group({mpi.rank()}, mpi.rank());
  if (mpi.rank() == 0)
    std::printf(
        "| network | image side | sum | compute alone | communication alone | together | ratio to "
        "the sum of both (rounds) |\n| --- | ---: | --- | ---: | ---: | ---: | --- |\n");
  for (const std::string& network : a.networks) {
    for (const int64_t size : a.sizes) {
      a.network = network;
      a.size = size;
      compare(a, mpi, *self);
    }
  }
  self->close();
}

}  // namespace
}  // namespace baleen

int main(int argc, char** argv) {
  return baleen::benchmark_main(argc, argv, baleen::parse, baleen::measure);
}
