#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <thread>

#include "core/base/error.h"
#include "data/hdf5/file.h"
#include "tests/support/temporary_directory.h"

namespace baleen::hdf5 {
namespace {

using ::testing::HasSubstr;
using testing_directory = baleen::testing::TemporaryDirectory;

std::string bytes_of(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

template <class Action>
Error error_of(Action&& action) {
  try {
    action();
  } catch (const Error& error) {
    return error;
  }
  ADD_FAILURE() << "nothing was thrown";
  return Error(ErrorKind::kInternal, "nothing was thrown");
}

const std::vector<uint8_t> kBytes = {1, 2, 3, 250, 251, 252};
const std::vector<std::string> kNames = {"a", "",
                                         "gr\xc3\xb6\xc3\x9f"
                                         "er"};

void write_example(const std::filesystem::path& path) {
  File file = File::create(path);
  file.write<uint8_t>("bytes", {3, 2}, kBytes);
  file.write<int32_t>("i32", {2}, std::vector<int32_t>{-7, 9});
  file.write<int64_t>("i64", {1}, std::vector<int64_t>{int64_t{1} << 40});
  file.write<uint32_t>("u32", {1}, std::vector<uint32_t>{0xFFFFFFFFu});
  file.write<uint64_t>("u64", {1}, std::vector<uint64_t>{~uint64_t{0}});
  file.write<float>("f32", {2, 1}, std::vector<float>{0.5f, -1.25f});
  file.write_strings("names", kNames);
  file.write<float>("empty", {0, 4}, std::vector<float>{});
  Group group = file.create_group("inner");
  group.write<double>("f64", {}, std::vector<double>{1e300});
  group.set_attribute("count", int64_t{3});
  group.set_attribute("count", int64_t{4});
  group.set_attribute("ratio", 0.25);
  group.set_attribute("name", std::string("resnet18"));
  group.set_attribute("nothing", std::string());
  file.close();
}

TEST(Hdf5Test, EveryTypeComesBackAsItWasWritten) {
  testing_directory directory;
  write_example(directory / "a.h5");
  const File file = File::open(directory / "a.h5");
  EXPECT_THAT(file.members(), ::testing::ElementsAre("bytes", "empty", "f32", "i32", "i64", "inner",
                                                     "names", "u32", "u64"));
  EXPECT_EQ(file.open_dataset("bytes").shape(), (Shape{3, 2}));
  EXPECT_EQ(file.open_dataset("bytes").read<uint8_t>(), kBytes);
  std::vector<uint8_t> row(2);
  file.open_dataset("bytes").read_rows<uint8_t>(1, 1, row);
  EXPECT_EQ(row, (std::vector<uint8_t>{3, 250}));
  EXPECT_EQ(file.open_dataset("i32").read<int32_t>(), (std::vector<int32_t>{-7, 9}));
  EXPECT_EQ(file.open_dataset("i64").read<int64_t>(), (std::vector<int64_t>{int64_t{1} << 40}));
  EXPECT_EQ(file.open_dataset("u32").read<uint32_t>(), (std::vector<uint32_t>{0xFFFFFFFFu}));
  EXPECT_EQ(file.open_dataset("u64").read<uint64_t>(), (std::vector<uint64_t>{~uint64_t{0}}));
  EXPECT_EQ(file.open_dataset("f32").read<float>(), (std::vector<float>{0.5f, -1.25f}));
  EXPECT_EQ(file.open_dataset("names").read_strings(), kNames);
  EXPECT_EQ(file.open_dataset("empty").read<float>().size(), 0u);
  const Group group = file.open_group("inner");
  EXPECT_EQ(group.open_dataset("f64").read<double>(), std::vector<double>{1e300});
  EXPECT_EQ(group.int_attribute("count"), 4);
  EXPECT_EQ(group.double_attribute("ratio"), 0.25);
  EXPECT_EQ(group.string_attribute("name"), "resnet18");
  EXPECT_EQ(group.string_attribute("nothing"), "");
  EXPECT_FALSE(group.has_attribute("other"));
}

TEST(Hdf5Test, OffsetPointsAtTheRawBytes) {
  testing_directory directory;
  {
    File file = File::create(directory / "a.h5");
    file.write<uint8_t>("small", {6}, kBytes);
    file.write<uint8_t>("large", {100, 1000}, std::vector<uint8_t>(100000, 7));
    file.close();
  }
  const File file = File::open(directory / "a.h5");
  const std::string all = bytes_of(directory / "a.h5");
  const Dataset small = file.open_dataset("small");
  ASSERT_TRUE(small.offset());
  EXPECT_EQ(all.substr(*small.offset(), 6), std::string(kBytes.begin(), kBytes.end()));
  const Dataset large = file.open_dataset("large");
  ASSERT_TRUE(large.offset());
  EXPECT_EQ(*large.offset() % 4096, 0u) << "large datasets start at a page";
  EXPECT_EQ(all.substr(*large.offset(), 100000), std::string(100000, 7));
}

TEST(Hdf5Test, TheSameCallsWriteTheSameBytesOnAnotherDay) {
  testing_directory directory;
  write_example(directory / "a.h5");
  std::this_thread::sleep_for(std::chrono::milliseconds(1100));  // HDF5 dates objects to the second
  write_example(directory / "b.h5");
  EXPECT_EQ(bytes_of(directory / "a.h5"), bytes_of(directory / "b.h5"));
}

TEST(Hdf5Test, UpdatingReplacesRowsInPlace) {
  testing_directory directory;
  write_example(directory / "a.h5");
  {
    File file = File::open_for_update(directory / "a.h5");
    Dataset dataset = file.open_dataset("f32");
    dataset.write_rows<float>(1, 1, std::vector<float>{9.0f});
    file.close();
  }
  EXPECT_EQ(File::open(directory / "a.h5").open_dataset("f32").read<float>(),
            (std::vector<float>{0.5f, 9.0f}));
}

TEST(Hdf5Test, MissingForeignAndTruncatedFilesAreDataErrorsThatNameTheFile) {
  testing_directory directory;
  const Error missing = error_of([&] { File::open(directory / "none.h5"); });
  EXPECT_EQ(missing.kind(), ErrorKind::kData);
  EXPECT_THAT(missing.message(), HasSubstr("none.h5"));
  EXPECT_THAT(missing.message(), HasSubstr("No such file"));

  std::ofstream(directory / "text.h5") << "this is no HDF5 file, only a line of text\n";
  const Error foreign = error_of([&] { File::open(directory / "text.h5"); });
  EXPECT_EQ(foreign.kind(), ErrorKind::kData);
  EXPECT_THAT(foreign.message(), HasSubstr("text.h5"));

  write_example(directory / "cut.h5");
  const auto size = std::filesystem::file_size(directory / "cut.h5");
  std::filesystem::resize_file(directory / "cut.h5", size / 2);
  EXPECT_EQ(error_of([&] { File::open(directory / "cut.h5"); }).kind(), ErrorKind::kData);
}

TEST(Hdf5Test, WrongNamesAndTypesAreDataErrors) {
  testing_directory directory;
  write_example(directory / "a.h5");
  const File file = File::open(directory / "a.h5");
  const Error absent = error_of([&] { file.open_dataset("images"); });
  EXPECT_EQ(absent.kind(), ErrorKind::kData);
  EXPECT_THAT(absent.message(), HasSubstr("images"));
  const Error type = error_of([&] { file.open_dataset("f32").read<double>(); });
  EXPECT_EQ(type.kind(), ErrorKind::kData);
  EXPECT_THAT(type.message(), HasSubstr("holds f32 elements where f64 is expected"));
  EXPECT_EQ(error_of([&] { file.open_dataset("bytes").read_strings(); }).kind(), ErrorKind::kData);
  EXPECT_EQ(error_of([&] { file.open_dataset("inner"); }).kind(), ErrorKind::kData);
  EXPECT_EQ(error_of([&] { file.open_group("bytes"); }).kind(), ErrorKind::kData);
  EXPECT_EQ(error_of([&] { file.open_group("inner").int_attribute("name"); }).kind(),
            ErrorKind::kData);
  EXPECT_EQ(error_of([&] { file.open_group("inner").string_attribute("absent"); }).kind(),
            ErrorKind::kData);
}

TEST(Hdf5Test, AFolderThatCannotBeWrittenIsAStorageError) {
  testing_directory directory;
  const Error error = error_of([&] { File::create(directory / "absent" / "a.h5"); });
  EXPECT_EQ(error.kind(), ErrorKind::kStorage);
  EXPECT_THAT(error.message(), HasSubstr("a.h5"));
}

TEST(Hdf5Test, AFullDiskIsAStorageErrorAndNoCrash) {
  testing_directory directory;
  const pid_t child = fork();
  if (child == 0) {
    std::signal(SIGXFSZ,
                SIG_IGN);  // the limit then shows as an error of write(), as a full disk does
    rlimit limit{};
    getrlimit(RLIMIT_FSIZE, &limit);
    const rlimit full{65536, limit.rlim_max};
    setrlimit(RLIMIT_FSIZE, &full);
    int code = 1;
    try {
      File file = File::create(directory / "a.h5");
      file.write<uint8_t>("bytes", {1 << 20}, std::vector<uint8_t>(1 << 20, 3));
      file.close();
    } catch (const Error& error) {
      const bool named = std::string(error.what()).find("a.h5") != std::string::npos;
      code = error.kind() == ErrorKind::kStorage && named ? 42 : 2;
    }
    try {  // once there is space again, the same process can go on
      setrlimit(RLIMIT_FSIZE, &limit);
      write_example(directory / "a.h5");
      if (File::open(directory / "a.h5").open_dataset("bytes").read<uint8_t>() != kBytes) code = 3;
    } catch (const Error&) {
      code = 4;
    }
    std::exit(code);  // runs HDF5's own clean-up, which must not crash either
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status)) << "ended by signal " << WTERMSIG(status);
  EXPECT_EQ(WEXITSTATUS(status), 42);
}

TEST(Hdf5Test, H5pyReadsOursAndWeReadItsVariableStringsAndRefuseToMapItsChunks) {
  const char* python = std::getenv("BALEEN_PYTHON");
  if (!python) GTEST_SKIP() << "BALEEN_PYTHON is not set: no h5py to compare with";
  testing_directory directory;
  write_example(directory / "ours.h5");
  const std::string command = std::string(python) + " " + std::getenv("BALEEN_SOURCE") +
                              "/tests/parity/hdf5_h5py.py " + (directory / "ours.h5").string() +
                              " " + (directory / "theirs.h5").string();
  ASSERT_EQ(std::system(command.c_str()), 0);
  const File file = File::open(directory / "theirs.h5");
  EXPECT_EQ(file.open_dataset("variable").read_strings(), kNames);
  EXPECT_EQ(file.open_dataset("chunked").read<float>().size(), 1000u);
  EXPECT_FALSE(file.open_dataset("chunked").offset());
  EXPECT_FALSE(file.open_dataset("compressed").offset());
  EXPECT_TRUE(file.open_dataset("plain").offset());
  EXPECT_EQ(file.open_dataset("big_endian").read<float>(), (std::vector<float>{1.5f, -2.0f}));
  EXPECT_EQ(error_of([&] { file.open_dataset("endless").read<double>(); }).kind(),
            ErrorKind::kData);
  EXPECT_EQ(file.string_attribute("text"), "of variable length");
}

}  // namespace
}  // namespace baleen::hdf5
