#include "launch/supervisor/hosts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <fstream>
#include <thread>

#include "core/base/error.h"
#include "tests/support/temporary_directory.h"

namespace baleen {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(Hosts, AreReadAsMpirunReadsThem) {
  EXPECT_THAT(parse_hosts("a:2,b,10.0.0.7:16"),
              ElementsAre(HostSlots{"a", 2}, HostSlots{"b", 1}, HostSlots{"10.0.0.7", 16}));
  EXPECT_EQ(print_hosts(parse_hosts("a:2,b")), "a:2,b:1");
  EXPECT_EQ(num_slots(parse_hosts("a:2,b")), 3);
}

TEST(Hosts, MistakesAreNamed) {
  for (const char* wrong : {"", "a:", "a:x", "a:0", "a:-1", ":2", "a:2,,b:2", "a:2,a:3", "fe80::1",
                            "-oProxyCommand=x:1", "a b:1"}) {
    try {
      parse_hosts(wrong);
      ADD_FAILURE() << "'" << wrong << "' was accepted";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kUsage) << wrong;
      EXPECT_THAT(error.message(), HasSubstr("--hosts"));
      EXPECT_FALSE(error.hint().empty()) << wrong;
    }
  }
}

TEST(Hostfile, IsReadWithCommentsAndLimits) {
  const testing::TemporaryDirectory folder;
  std::ofstream(folder / "hosts") << "# two racks\n\na slots=4 # near\n  b  slots=2 max_slots=8\n";
  EXPECT_THAT(read_hostfile(folder / "hosts"), ElementsAre(HostSlots{"a", 4}, HostSlots{"b", 2}));
}

TEST(Hostfile, MistakesAreNamedWithTheirLine) {
  const testing::TemporaryDirectory folder;
  for (const auto& [text, words] :
       {std::pair{"a slots=4\nb\n", "hosts:2"}, std::pair{"a slot=4\n", "'slot=4'"},
        std::pair{"a slots=none\n", "hosts:1"}, std::pair{"a slots=1\na slots=2\n", "hosts:2"},
        std::pair{"# nobody\n", "names no host"}}) {
    std::ofstream(folder / "hosts") << text;
    try {
      read_hostfile(folder / "hosts");
      ADD_FAILURE() << text;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kUsage);
      EXPECT_THAT(error.message(), HasSubstr(words));
    }
  }
  EXPECT_THROW(read_hostfile(folder / "missing"), Error);
}

TEST(Hosts, ThisOneIsKnownByNameAndAddress) {
  char name[256] = {};
  gethostname(name, sizeof name - 1);
  EXPECT_TRUE(is_this_host(name));
  EXPECT_TRUE(is_this_host("localhost"));
  EXPECT_TRUE(is_this_host("127.0.0.1"));
  EXPECT_FALSE(is_this_host("203.0.113.1")) << "an address for documentation";
}

TEST(Hosts, ThoseThatAnswerKeepTheirOrderAndAreAskedSideBySide) {
  std::atomic<int> asked{0};
  const auto start = std::chrono::steady_clock::now();
  const auto alive =
      hosts_that_answer(parse_hosts("203.0.113.1:1,203.0.113.2:2,127.0.0.1:3,203.0.113.4:4"),
                        [&](const std::string& name) {
                          ++asked;
                          std::this_thread::sleep_for(std::chrono::milliseconds(800));
                          return name != "203.0.113.2";
                        });
  EXPECT_EQ(print_hosts(alive), "203.0.113.1:1,127.0.0.1:3,203.0.113.4:4");
  EXPECT_EQ(asked, 3) << "this machine is not asked";
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(2200));
}

}  // namespace
}  // namespace baleen
