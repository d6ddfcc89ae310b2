// Runs GoogleTest on every rank under mpirun. Each rank runs the same tests in the same order;
// failures of ranks other than 0 are gathered and printed by rank 0 with their rank, and the
// verdict is agreed by all, so that a failure anywhere fails the test everywhere. A rank that hangs
// is ended by ctest's TIMEOUT, which kills mpirun and with it all ranks.
#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <mpi.h>

#include <cstdio>
#include <string>
#include <vector>

#include "tests/support/test_selection.h"

namespace {

class FailureCollector : public ::testing::EmptyTestEventListener {
 public:
  void OnTestStart(const ::testing::TestInfo& test) override {
    test_ = std::string(test.test_suite_name()) + "." + test.name();
  }
  // GoogleTest holds its lock here: asking it for the current test would wait for ever.
  void OnTestPartResult(const ::testing::TestPartResult& result) override {
    if (!result.failed()) return;
    text_ += test_ + " at " + (result.file_name() ? result.file_name() : "?") + ":" +
             std::to_string(result.line_number()) + "\n" + result.message() + "\n";
  }
  const std::string& text() const { return text_; }

 private:
  std::string test_ = "?", text_;
};

}  // namespace

int main(int argc, char** argv) {
  int provided = 0;
  MPI_Init_thread(&argc, &argv, MPI_THREAD_MULTIPLE, &provided);
  int rank = 0;
  int size = 1;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  at::set_num_threads(1);
  ::testing::InitGoogleTest(&argc, argv);
  if (!baleen::testing::select_tests(argc, argv)) MPI_Abort(MPI_COMM_WORLD, 2);
  auto& listeners = ::testing::UnitTest::GetInstance()->listeners();
  auto* collector = new FailureCollector;
  if (rank != 0) delete listeners.Release(listeners.default_result_printer());
  listeners.Append(collector);

  int failed = RUN_ALL_TESTS() != 0;
  int anywhere = 0;
  MPI_Allreduce(&failed, &anywhere, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD);

  const std::string& mine = collector->text();
  int length = static_cast<int>(mine.size());
  if (rank != 0) {
    MPI_Send(&length, 1, MPI_INT, 0, 1, MPI_COMM_WORLD);
    MPI_Send(mine.data(), length, MPI_CHAR, 0, 2, MPI_COMM_WORLD);
  } else {
    for (int other = 1; other < size; ++other) {
      MPI_Recv(&length, 1, MPI_INT, other, 1, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
      std::string text(static_cast<size_t>(length), ' ');
      MPI_Recv(text.data(), length, MPI_CHAR, other, 2, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
      if (length > 0)
        std::fprintf(stderr, "--- failures on rank %d of %d ---\n%s", other, size, text.c_str());
    }
  }
  MPI_Finalize();
  return anywhere;
}
