#include "core/base/atomic_file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>

#include "tests/support/temporary_directory.h"

namespace baleen {
namespace {

using ::testing::HasSubstr;

std::vector<std::string> names_in(const std::filesystem::path& directory) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    names.push_back(entry.path().filename().string());
  }
  return names;
}

// Limits the size of files for a scope: writes beyond it fail with EFBIG, as on a full disk but
// without one.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) : old_handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    getrlimit(RLIMIT_FSIZE, &old_);
    const rlimit limit{bytes, old_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    setrlimit(RLIMIT_FSIZE, &old_);
    std::signal(SIGXFSZ, old_handler_);
  }

 private:
  rlimit old_{};
  void (*old_handler_)(int);
};

TEST(AtomicFileTest, WritesAndReplaces) {
  testing::TemporaryDirectory directory;
  const auto path = directory / "weights.bin";
  write_file_atomically(path, "first");
  EXPECT_EQ(read_file(path), "first");
  write_file_atomically(path, "second, longer");
  EXPECT_EQ(read_file(path), "second, longer");
  EXPECT_EQ(names_in(directory.path()), std::vector<std::string>{"weights.bin"});
}

TEST(AtomicFileTest, LargeAndSmallPiecesArriveInOrder) {
  testing::TemporaryDirectory directory;
  std::string expected;
  write_file_atomically(directory / "f", [&expected](FileWriter& writer) {
    for (size_t i = 0; i < 300; ++i) {
      const std::string piece(i % 7 == 0 ? 300'000 : i, static_cast<char>('a' + i % 26));
      writer.write(piece);
      expected += piece;
      EXPECT_EQ(writer.num_bytes(), expected.size());
    }
  });
  EXPECT_TRUE(read_file(directory / "f") == expected);
}

TEST(AtomicFileTest, AThrowingWriterLeavesTheOldFileAndNothingElse) {
  testing::TemporaryDirectory directory;
  write_file_atomically(directory / "f", "old");
  EXPECT_THROW(write_file_atomically(directory / "f",
                                     [](FileWriter& writer) {
                                       writer.write("half");
                                       throw Error(ErrorKind::kNumeric, "loss is not finite");
                                     }),
               Error);
  EXPECT_EQ(read_file(directory / "f"), "old");
  EXPECT_EQ(names_in(directory.path()).size(), 1u);
}

TEST(AtomicFileTest, AWriteErrorLeavesTheOldFileAndNothingElse) {
  testing::TemporaryDirectory directory;
  write_file_atomically(directory / "f", "old");
  try {
    const FileSizeLimit limit(100'000);
    write_file_atomically(directory / "f", std::string(1'000'000, 'x'));
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kStorage);
    EXPECT_THAT(error.message(), HasSubstr((directory / "f").string()));
    EXPECT_THAT(error.message(), HasSubstr("File too large"));
  }
  EXPECT_EQ(read_file(directory / "f"), "old");
  EXPECT_EQ(names_in(directory.path()).size(), 1u);
}

TEST(AtomicFileTest, AFullDiskIsNamedWithAHint) {
  const UniqueFileDescriptor full(::open("/dev/full", O_WRONLY));
  ASSERT_TRUE(full);
  FileWriter writer(full.get(), "runs/a/last.safetensors");
  writer.write("bytes that stay in the buffer");
  try {
    writer.flush();
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kStorage);
    EXPECT_EQ(error.message(), "can't write runs/a/last.safetensors: No space left on device");
    EXPECT_THAT(error.hint(), HasSubstr("free space"));
  }
  // A piece larger than the buffer goes straight to the file.
  EXPECT_THROW(writer.write(std::string(1 << 20, 'x')), Error);
}

TEST(AtomicFileTest, AMissingDirectoryIsNamed) {
  testing::TemporaryDirectory directory;
  try {
    write_file_atomically(directory / "none" / "f", "x");
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kStorage);
    EXPECT_THAT(error.what(), HasSubstr("none/f: No such file or directory"));
    EXPECT_THAT(error.hint(), HasSubstr("directory exists"));
  }
}

TEST(AtomicFileTest, KilledInTheMiddleLeavesTheOldFileAndATemporaryThatCanBeRemoved) {
  testing::TemporaryDirectory directory;
  write_file_atomically(directory / "f", "old");
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    write_file_atomically(directory / "f", [](FileWriter& writer) {
      writer.write("half of the new content");
      writer.flush();
      ::kill(::getpid(), SIGKILL);
    });
    _exit(0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(read_file(directory / "f"), "old");
  EXPECT_EQ(names_in(directory.path()).size(), 2u);
  EXPECT_EQ(remove_abandoned_temporaries(directory.path()), 1);
  EXPECT_EQ(names_in(directory.path()), std::vector<std::string>{"f"});
  EXPECT_EQ(remove_abandoned_temporaries(directory.path()), 0);
}

TEST(AtomicFileTest, PublishesFilesWrittenByOthers) {
  testing::TemporaryDirectory directory;
  const auto temporary = temporary_path_for(directory / "oof.h5");
  EXPECT_EQ(temporary.parent_path(), directory.path());
  EXPECT_NE(temporary, temporary_path_for(directory / "oof.h5"));
  std::ofstream(temporary) << "table";
  publish_file(temporary, directory / "oof.h5");
  EXPECT_EQ(read_file(directory / "oof.h5"), "table");
  EXPECT_FALSE(std::filesystem::exists(temporary));
  EXPECT_THROW(publish_file(directory / "nothing", directory / "oof.h5"), Error);
}

TEST(AtomicFileTest, ReadingNamesWhatIsMissing) {
  testing::TemporaryDirectory directory;
  try {
    read_file(directory / "plan.json");
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kData);
    EXPECT_THAT(error.message(), HasSubstr("plan.json"));
  }
  EXPECT_THROW(read_file(directory.path()), Error);  // a directory
  write_file_atomically(directory / "empty", "");
  EXPECT_EQ(read_file(directory / "empty"), "");
  EXPECT_THAT(read_file("/proc/self/status"), HasSubstr("Name:"));  // announces 0 bytes
}

TEST(AppendFileTest, AppendsAcrossOpenings) {
  testing::TemporaryDirectory directory;
  {
    AppendFile file(directory / "journal", AppendFile::Sync::kEachRecord);
    file.append("one\n");
    file.append("two\n");
    EXPECT_EQ(file.num_bytes(), 8u);
  }
  AppendFile file(directory / "journal", AppendFile::Sync::kNone);
  EXPECT_EQ(file.num_bytes(), 8u);
  file.append("three\n");
  file.sync();
  EXPECT_EQ(read_file(directory / "journal"), "one\ntwo\nthree\n");
}

TEST(AppendFileTest, ARecordThatDoesNotFitLeavesNoHalf) {
  testing::TemporaryDirectory directory;
  AppendFile file(directory / "journal", AppendFile::Sync::kEachRecord);
  file.append("whole\n");
  {
    const FileSizeLimit limit(10);
    EXPECT_THROW(file.append("this one is too long\n"), Error);
  }
  EXPECT_EQ(read_file(directory / "journal"), "whole\n");
  file.append("next\n");
  EXPECT_EQ(read_file(directory / "journal"), "whole\nnext\n");
}

TEST(AppendFileTest, AFullDiskIsNamedWithAHint) {
  AppendFile file("/dev/full", AppendFile::Sync::kNone);
  try {
    file.append("record\n");
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kStorage);
    EXPECT_EQ(error.message(), "can't append to /dev/full: No space left on device");
    EXPECT_THAT(error.hint(), HasSubstr("free space"));
  }
}

struct CountingTraits {
  using Value = int;
  static inline std::vector<int> closed;
  static Value invalid() { return -1; }
  static void close(Value value) noexcept { closed.push_back(value); }
};

TEST(UniqueHandleTest, ClosesEachHandleOnce) {
  using Handle = UniqueHandle<CountingTraits>;
  CountingTraits::closed.clear();
  {
    Handle a(1);
    Handle b(std::move(a));
    EXPECT_FALSE(a);  // NOLINT: a moved-from handle is empty by contract
    EXPECT_EQ(b.get(), 1);
    Handle c(2);
    c = std::move(b);
    EXPECT_EQ(CountingTraits::closed, std::vector<int>{2});
    Handle d(3);
    EXPECT_EQ(d.release(), 3);
    c.reset(4);
    EXPECT_EQ(CountingTraits::closed, (std::vector<int>{2, 1}));
  }
  EXPECT_EQ(CountingTraits::closed, (std::vector<int>{2, 1, 4}));
}

}  // namespace
}  // namespace baleen
