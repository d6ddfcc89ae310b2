#include "distributed/data_parallel.h"

#include <gtest/gtest.h>
#include <mpi.h>

#include "core/base/error.h"
#include "distributed/fixed_tree.h"
#include "distributed/mpi_communicator.h"

namespace baleen {
namespace {

MPI_Comm duplicate(MPI_Comm of) {
  MPI_Comm comm;
  MPI_Comm_dup(of, &comm);
  return comm;
}

/// Two convolutions, batch norm and a linear layer: enough for buckets, buffers and channels_last
/// strides.
struct SmallNetImpl : torch::nn::Module {
  SmallNetImpl() {
    conv1 =
        register_module("conv1", torch::nn::Conv2d(torch::nn::Conv2dOptions(3, 24, 3).padding(1)));
    norm = register_module("norm", torch::nn::BatchNorm2d(24));
    conv2 =
        register_module("conv2", torch::nn::Conv2d(torch::nn::Conv2dOptions(24, 40, 3).stride(2)));
    fc = register_module("fc", torch::nn::Linear(40, 7));
  }
  at::Tensor forward(const at::Tensor& x) {
    return fc(at::relu(conv2(at::relu(norm(conv1(x))))).mean({2, 3}));
  }
  torch::nn::Conv2d conv1{nullptr}, conv2{nullptr};
  torch::nn::BatchNorm2d norm{nullptr};
  torch::nn::Linear fc{nullptr};
};
TORCH_MODULE(SmallNet);

struct Scenario {
  int64_t num_shards = 4;
  int64_t accumulate = 1;
  bool channels_last = false;
  bool generic_tree = false;
  bool batch_norm_training = true;
  at::ScalarType dtype = at::kFloat;
  int64_t batch = 24;
};

/// Weights after four steps of plain SGD on `comm`, flattened; equal to the bit for any number of
/// ranks.
std::vector<at::Tensor> train(Communicator& comm, const Scenario& s) {
  at::manual_seed(5);
  SmallNet net;
  net->to(s.dtype);
  if (s.channels_last) {
    at::NoGradGuard no_grad;
    for (at::Tensor& p : net->parameters()) {
      if (p.dim() == 4)
        p.set_data(at::empty(p.sizes(), p.options(), at::MemoryFormat::ChannelsLast).copy_(p));
    }
  }
  if (!s.batch_norm_training) net->norm->eval();
  DataParallelOptions options;
  options.num_shards = s.num_shards;
  options.bucket_bytes = 4 << 10;
  options.first_bucket_bytes = 1 << 10;
  options.force_generic_tree = s.generic_tree;
  auto reducer = make_data_parallel(*net, comm, options);
  const ShardRange range = reducer->shards();
  for (int step = 0; step < 4; ++step) {
    at::manual_seed(100 + static_cast<uint64_t>(step));
    const at::Tensor x = at::randn({s.batch, 3, 12, 12}, s.dtype);
    const at::Tensor y = at::randint(7, {s.batch}, at::kLong);
    for (int64_t shard = range.first; shard < range.last; ++shard) {
      for (int64_t micro = 0; micro < s.accumulate; ++micro) {
        const int64_t pieces = s.num_shards * s.accumulate;
        const int64_t piece = shard * s.accumulate + micro;
        const int64_t from = s.batch * piece / pieces;
        const int64_t to = s.batch * (piece + 1) / pieces;
        at::Tensor part = x.slice(0, from, to).clone();
        if (s.channels_last) part = part.contiguous(at::MemoryFormat::ChannelsLast);
        const at::Tensor logits = net->forward(part);
        const at::Tensor loss =
            at::cross_entropy_loss(logits, y.slice(0, from, to), {}, at::Reduction::Sum) /
            static_cast<double>(s.batch);
        reducer->backward(shard, micro == 0, micro == s.accumulate - 1, loss);
      }
    }
    at::NoGradGuard no_grad;
    for (at::Tensor& p : net->parameters()) p.add_(p.grad(), -0.1);
  }
  std::vector<at::Tensor> weights;
  for (const at::Tensor& p : net->parameters()) weights.push_back(p.detach().clone());
  reducer->close();
  return weights;
}

double largest_difference(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b) {
  double largest = 0;
  for (size_t i = 0; i < a.size(); ++i)
    largest = std::max(largest, (a[i] - b[i]).abs().max().item<double>());
  return largest;
}

class DataParallelTest : public ::testing::TestWithParam<Scenario> {};

TEST_P(DataParallelTest, WeightsHaveTheSameBitsAsOnOneRank) {
  MpiCommunicator world(duplicate(MPI_COMM_WORLD), {});
  MpiCommunicator alone(duplicate(MPI_COMM_SELF), {});
  const auto together = train(world, GetParam());
  const auto reference = train(alone, GetParam());
  for (size_t i = 0; i < together.size(); ++i) {
    EXPECT_TRUE(at::equal(together[i], reference[i]))
        << "parameter " << i << " differs by " << largest_difference({together[i]}, {reference[i]});
  }
  world.close();
  alone.close();
}

INSTANTIATE_TEST_SUITE_P(
    Scenarios, DataParallelTest,
    ::testing::Values(Scenario{}, Scenario{.num_shards = 6}, Scenario{.num_shards = 7, .batch = 29},
                      Scenario{.num_shards = 4, .accumulate = 3},
                      Scenario{.num_shards = 4, .channels_last = true},
                      Scenario{.num_shards = 5, .generic_tree = true},
                      Scenario{.num_shards = 8, .channels_last = true, .generic_tree = true},
                      Scenario{.num_shards = 6, .dtype = at::kDouble}));

TEST(DataParallelGradients, EqualOneProcessOnTheWholeBatch) {
  // Without batch statistics the loss is a plain mean, so that the number of shards changes
  // rounding only.
  MpiCommunicator world(duplicate(MPI_COMM_WORLD), {});
  MpiCommunicator alone(duplicate(MPI_COMM_SELF), {});
  Scenario sharded{.num_shards = 4, .batch_norm_training = false, .dtype = at::kDouble};
  Scenario whole = sharded;
  whole.num_shards = 1;
  EXPECT_LT(largest_difference(train(world, sharded), train(alone, whole)), 1e-14);
  world.close();
  alone.close();
}

TEST(DataParallelGather, RowsComeInShardOrder) {
  MpiCommunicator world(duplicate(MPI_COMM_WORLD), {});
  SmallNet net;
  DataParallelOptions options;
  options.num_shards = 7;
  auto reducer = make_data_parallel(*net, world, options);
  const ShardRange range = reducer->shards();
  const at::Tensor mine =
      at::arange(range.first, range.last, at::kDouble).unsqueeze(1).repeat({1, 2});
  const at::Tensor all = reducer->gather_shards(mine);
  EXPECT_TRUE(at::equal(all, at::arange(0, 7, at::kDouble).unsqueeze(1).repeat({1, 2})));
  EXPECT_TRUE(reducer->any(world.rank() == world.size() - 1));
  EXPECT_FALSE(reducer->any(false));
  reducer->close();
  world.close();
}

TEST(DataParallelBuffers, ThoseOfTheFirstRankWin) {
  MpiCommunicator world(duplicate(MPI_COMM_WORLD), {});
  SmallNet net;
  DataParallelOptions options;
  options.num_shards = world.size();
  auto reducer = make_data_parallel(*net, world, options);
  {
    at::NoGradGuard no_grad;
    net->norm->running_mean.fill_(world.rank());
    net->norm->num_batches_tracked.fill_(10 + world.rank());
  }
  reducer->broadcast_buffers();
  EXPECT_EQ(net->norm->running_mean.abs().max().item<float>(), 0);
  EXPECT_EQ(net->norm->num_batches_tracked.item<int64_t>(), 10);
  reducer->close();
  world.close();
}

TEST(DataParallelOptionsTest, MoreRanksThanShardsAreRefused) {
  MpiCommunicator world(duplicate(MPI_COMM_WORLD), {});
  SmallNet net;
  DataParallelOptions options;
  options.num_shards = world.size() - 1;
  EXPECT_THROW(make_data_parallel(*net, world, options), Error);
  world.close();
}

}  // namespace
}  // namespace baleen
