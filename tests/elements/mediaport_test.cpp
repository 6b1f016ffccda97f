#include "elements/mediaport.hpp"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <array>
#include <thread>

using namespace discord;

namespace {

// A socket of ours and the server's side of it.
class Path {
 public:
  Path() : server_(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    auto* any = reinterpret_cast<sockaddr*>(&address);
    EXPECT_EQ(::bind(server_.get(), any, length), 0);
    EXPECT_EQ(::getsockname(server_.get(), any, &length), 0);
    auto made = net::UdpSocket::connect("127.0.0.1", ntohs(address.sin_port), 1 << 20);
    EXPECT_TRUE(made.ok());
    socket = {1, std::move(*made), 1};
    length = sizeof address;
    EXPECT_EQ(::getsockname(socket.udp->fd(), any, &length), 0);
    EXPECT_EQ(::connect(server_.get(), any, length), 0);
  }
  void send(int count) {
    for (int i = 0; i < count; i++) {
      EXPECT_EQ(::send(server_.get(), "x", 1, 0), 1);
    }
  }

  MediaPort::Socket socket;

 private:
  net::FileDescriptor server_;
};

std::size_t receive(MediaPort::Socket& from) {
  std::array<std::array<std::uint8_t, 64>, 4> bytes;
  std::array<iovec, 4> slots;
  std::array<net::DatagramInfo, 4> infos;
  for (std::size_t i = 0; i < slots.size(); i++) {
    slots[i] = {bytes[i].data(), bytes[i].size()};
  }
  return from.udp->receive(slots, infos);
}

}  // namespace

// What lay in the socket of a call that was left was thrown away with it.
TEST(MediaPort, AReplacedSocketIsReadToItsEnd) {
  Path before;
  Path after;
  MediaPort port;
  MediaPort::Socket given;
  port.install(before.socket);
  before.send(1);
  EXPECT_EQ(port.wait(given), MediaPort::Outcome::readable);
  EXPECT_EQ(receive(given), 1u);

  before.send(10);
  after.send(1);
  after.socket.connection = 2;
  port.install({});
  port.install(after.socket);
  std::size_t old = 0;
  while (port.wait(given) == MediaPort::Outcome::readable && given.udp == before.socket.udp) {
    old += receive(given);
  }
  EXPECT_EQ(old, 10u);
  EXPECT_EQ(given.connection, 1u) << "told between the last of the old and the first of the new";
  EXPECT_EQ(port.wait(given), MediaPort::Outcome::readable);
  EXPECT_EQ(given.udp, after.socket.udp);
}

// Whoever waits to be told that a connection was left would wait for ever.
TEST(MediaPort, AConnectionThatWasNeverReadIsToldAsLeftAllTheSame) {
  Path before;
  Path after;
  after.socket.connection = 2;
  MediaPort port;
  MediaPort::Socket given;
  port.install(before.socket);
  port.install({});
  port.install(after.socket);
  after.send(1);
  EXPECT_EQ(port.wait(given), MediaPort::Outcome::left);
  EXPECT_EQ(given.connection, 1u);
  EXPECT_EQ(port.wait(given), MediaPort::Outcome::readable);
  EXPECT_EQ(given.udp, after.socket.udp);
}

TEST(MediaPort, TheEndComesAfterWhatHasArrived) {
  Path path;
  MediaPort port;
  MediaPort::Socket given;
  port.install(path.socket);
  path.send(1);
  EXPECT_EQ(port.wait(given), MediaPort::Outcome::readable);
  port.install({});
  port.end();
  EXPECT_EQ(port.wait(given), MediaPort::Outcome::readable);
  EXPECT_EQ(receive(given), 1u);
  EXPECT_EQ(port.wait(given), MediaPort::Outcome::ended);
}

TEST(MediaPort, AServerThatGoesOnSendingIsLeftAllTheSame) {
  Path before;
  Path after;
  MediaPort port;
  MediaPort::Socket given;
  port.install(before.socket);
  before.send(1);
  EXPECT_EQ(port.wait(given), MediaPort::Outcome::readable);
  port.install(after.socket);
  after.send(1);
  for (int i = 0; i < 100000 && given.udp == before.socket.udp; i++) {
    receive(given);
    before.send(1);
    if (port.wait(given) == MediaPort::Outcome::left) {
      ASSERT_EQ(port.wait(given), MediaPort::Outcome::readable);
    }
  }
  EXPECT_EQ(given.udp, after.socket.udp);
}

TEST(MediaPort, FlushingEndsAWait) {
  Path path;
  MediaPort port;
  port.install(path.socket);
  std::thread other([&] { port.set_flushing(true); });
  MediaPort::Socket given;
  EXPECT_EQ(port.wait(given), MediaPort::Outcome::flushing);
  other.join();
}
