#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "distributed/device_link_test.h"
#include "launch/doctor/check.h"
#include "tests/support/temporary_directory.h"

namespace baleen {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using Verdict = Check::Verdict;

const Check& find(const std::vector<Check>& checks, const std::string& name) {
  for (const Check& check : checks) {
    if (check.name == name) return check;
  }
  throw std::out_of_range("no check called " + name);
}

TEST(Doctor, FindsAnOrdinaryFolderFitForRunsAndLeavesNothingBehind) {
  const testing::TemporaryDirectory folder;
  const std::vector<Check> checks = check_storage(folder.path());
  for (const Check& check : checks)
    EXPECT_NE(check.verdict, Verdict::kBad) << check.name << ": " << check.finding;
  EXPECT_THAT(find(checks, "file system").finding, HasSubstr("GiB free"));
  EXPECT_EQ(find(checks, "locks").verdict, Verdict::kGood);
  EXPECT_EQ(find(checks, "run lock").verdict, Verdict::kGood);
  EXPECT_EQ(find(checks, "mapped files").verdict, Verdict::kGood);
  EXPECT_EQ(find(checks, "file times").verdict, Verdict::kGood);
  EXPECT_FALSE(find(checks, "mount").finding.empty());
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(Doctor, SaysWhatToDoAboutAFolderThatCannotBeWritten) {
  for (const char* place : {"/proc/sys", "no/such/folder"}) {
    const std::vector<Check> checks = check_storage(place);
    ASSERT_EQ(checks.size(), 1u) << place;
    EXPECT_EQ(checks[0].verdict, Verdict::kBad);
    EXPECT_THAT(checks[0].finding, HasSubstr(place));
    EXPECT_FALSE(checks[0].remedy.empty());
  }
}

TEST(Doctor, NamesTheLibrariesAtRunTime) {
  const std::vector<Check> checks = check_software();
  EXPECT_THAT(find(checks, "LibTorch").finding, HasSubstr("libtorch_cpu.so"));
  EXPECT_EQ(find(checks, "LibTorch").verdict, Verdict::kGood);
  EXPECT_THAT(find(checks, "HDF5").finding, ::testing::ContainsRegex("^[0-9]+\\.[0-9]+\\.[0-9]+"));
  EXPECT_THAT(find(checks, "OpenCV").finding, ::testing::ContainsRegex("^[0-9]+\\.[0-9]+"));
  EXPECT_FALSE(find(checks, "MPI").finding.empty());
}

TEST(Doctor, CountsProcessorsAndMemory) {
  const std::vector<Check> checks = check_machine();
  EXPECT_THAT(find(checks, "processors").finding, HasSubstr("usable"));
  EXPECT_THAT(find(checks, "memory").finding, HasSubstr("GiB available"));
  for (const char* name : {"open files", "processes", "locked memory"})
    EXPECT_FALSE(find(checks, name).finding.empty()) << name;
}

TEST(Doctor, ComparesMpirunWithTheLibrary) {
  const Check check = check_mpirun();
  EXPECT_EQ(check.verdict, Verdict::kGood) << check.finding;
  const std::string path = std::getenv("PATH");
  const testing::TemporaryDirectory folder;
  std::ofstream(folder / "mpirun") << "#!/bin/sh\necho 'mpirun (Open MPI) 3.0.9'\n";
  std::filesystem::permissions(folder / "mpirun", std::filesystem::perms::owner_all);
  setenv("PATH", (folder.path().string() + ":" + path).c_str(), 1);
  EXPECT_EQ(check_mpirun().verdict, Verdict::kBad);
  EXPECT_THAT(check_mpirun().finding, HasSubstr("3.0.9"));
  std::ofstream(folder / "mpirun") << "#!/bin/sh\nexit 1\n";
  EXPECT_EQ(check_mpirun().verdict, Verdict::kNote);
  setenv("PATH", path.c_str(), 1);
}

TEST(Doctor, StartsMpiInAProcessOfItsOwn) {
  const Check check = check_mpi_start();
  EXPECT_EQ(check.verdict, Verdict::kGood) << check.finding;
  EXPECT_THAT(check.finding, HasSubstr("MPI_THREAD_MULTIPLE"));
}

TEST(Doctor, TellsWhatSumsOverDevicesTake) {
  EXPECT_EQ(check_device_links({}).finding, "skipped: no CUDA device");
  EXPECT_EQ(check_device_links({}).verdict, Verdict::kGood);
  DeviceLinkMeasure links{.num_devices = 4,
                          .num_hosts = 2,
                          .num_sharing = 1,
                          .round_trip_us = 23.4,
                          .bytes_per_s = 12.0 * (1 << 30),
                          .problem = ""};
  Check check = check_device_links(links);
  EXPECT_EQ(check.verdict, Verdict::kGood);
  EXPECT_EQ(check.finding,
            "all-reduce over 4 devices on 2 hosts: 23 µs for 4 bytes, 12.0 GiB/s to and from each "
            "(without 1 rank that shares a device)");
  links.bytes_per_s = 100e6;
  check = check_device_links(links);
  EXPECT_EQ(check.verdict, Verdict::kNote);
  EXPECT_THAT(check.remedy, HasSubstr("NCCL_SOCKET_IFNAME"));
  links.problem = "unhandled system error";
  check = check_device_links(links);
  EXPECT_EQ(check.verdict, Verdict::kBad);
  EXPECT_THAT(check.finding, AllOf(HasSubstr("4 devices on 2 hosts"), HasSubstr("system error")));
  EXPECT_FALSE(check.remedy.empty());
  EXPECT_EQ(
      check_device_links({.num_devices = 1, .num_hosts = 1, .round_trip_us = 9, .problem = ""})
          .finding,
      "all-reduce over 1 device on 1 host: 9 µs for 4 bytes");
}

TEST(Doctor, PrintsWhatIsBadLastWithItsRemedy) {
  const std::string text = describe({{"locks", Verdict::kBad, "none", "mount with locks"},
                                     {"memory", Verdict::kGood, "plenty"},
                                     {"space", Verdict::kNote, "little", "make room"}});
  const size_t bad = text.find("BAD   locks");
  ASSERT_NE(bad, std::string::npos) << text;
  EXPECT_LT(text.find("note  space"), bad);
  EXPECT_LT(text.find("To be mended"), bad);
  EXPECT_THAT(text, AllOf(HasSubstr("ok    memory"), HasSubstr("make room"),
                          HasSubstr("mount with locks")));
  EXPECT_THAT(describe({{"memory", Verdict::kGood, "plenty"}}),
              HasSubstr("Nothing has to be mended"));
}

}  // namespace
}  // namespace baleen
