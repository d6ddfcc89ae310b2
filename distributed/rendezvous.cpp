#include "distributed/rendezvous.h"

#include <unistd.h>

#include <nlohmann/json.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

namespace baleen {

c10::intrusive_ptr<c10d::Store> rendezvous(Communicator& group) {
  c10d::TCPStoreOptions options;
  options.waitWorkers = false;
  nlohmann::json address;
  c10::intrusive_ptr<c10d::TCPStore> store;
  if (group.rank() == 0) {
    char host[256] = {};
    gethostname(host, sizeof host - 1);
    options.isServer = true;
    options.port = 0;
    store = c10::make_intrusive<c10d::TCPStore>(host, options);
    address = {{"host", host}, {"port", store->getPort()}};
  }
  address = nlohmann::json::parse(group.broadcast(address.dump(), 0));
  if (group.rank() != 0) {
    options.port = address["port"].get<uint16_t>();
    store = c10::make_intrusive<c10d::TCPStore>(address["host"].get<std::string>(), options);
  }
  return store;
}

}  // namespace baleen
