// End-to-end encryption: hands the DAVE opcodes to dave::Session and carries out what it asks for.
#include "base/overloaded.hpp"
#include "voice/machine.hpp"

namespace discord::voice {

Session::Machine::Machine(Credentials c, Options o, Random r)
    : credentials(std::move(c)), options(std::move(o)), random(std::move(r)) {
  const EncryptionOptions& e2ee = options.e2ee;
  if (e2ee.policy != dave::Policy::off && e2ee.signature_key && e2ee.random != nullptr) {
    dave.emplace(e2ee.policy, *e2ee.signature_key, *e2ee.random);
  }
}

// Lets the encryption take one step. It speaks on the live WebSocket; keys belong to the media
// connection, which outlives a Resume.
void Session::Machine::with_dave(Out& out, const std::function<void(dave::Out&)>& ask) {
  if (!dave) {
    return;
  }
  dave::Out actions;
  ask(actions);
  for (dave::Action& action : actions) {
    std::visit(Overloaded{
                   [&](dave::SendText& a) {
                     if (socket_open) {
                       out.push_back(SendText{socket, std::move(a.text)});
                     }
                   },
                   [&](dave::SendBinary& a) {
                     if (socket_open) {
                       out.push_back(SendBinary{socket, std::move(a.bytes)});
                     }
                   },
                   [&](dave::PublishKeys& a) {
                     out.push_back(PublishKeys{media, std::move(a.keys)});
                   },
                   [&](dave::Encryption& a) {
                     out.push_back(EncryptionChanged{a.version, a.epoch, std::move(a.members),
                                                     std::move(a.privacy_code)});
                   },
                   [&](dave::Notice& a) {
                     out.push_back(Notice{"opcode " + std::to_string(a.op) + ": " + a.text});
                   },
                   [&](dave::Fail& a) {
                     if (!is_over()) {
                       fail({FailKind::Encryption, std::move(a.message), {}}, out);
                     }
                   },
               },
               action);
  }
}

void Session::Machine::begin_encryption(Time now, Out& out) {
  with_dave(out, [&](dave::Out& actions) {
    dave->begin({credentials.user_id, credentials.channel_id, stage}, now, actions);
  });
}

void Session::Machine::on_dave(const BinaryMessage& message, Time now, Out& out) {
  switch (message.op) {
    case opcode::mls_external_sender:
    case opcode::mls_proposals:
    case opcode::mls_announce_commit:
    case opcode::mls_welcome:
      break;
    default:
      ++(message.op >= opcode::dave_prepare_transition &&
                 message.op <= opcode::mls_invalid_commit_welcome
             ? counters.ignored_opcodes
             : counters.unknown_opcodes);
      return;
  }
  if (!dave) {
    ++counters.ignored_opcodes;
    return;
  }
  with_dave(out, [&](dave::Out& actions) {
    switch (message.op) {
      case opcode::mls_external_sender:
        dave->on_external_sender(message.payload, now, actions);
        break;
      case opcode::mls_proposals:
        dave->on_proposals(*message.operation, message.payload, now, actions);
        break;
      case opcode::mls_announce_commit:
        dave->on_announce_commit(*message.transition_id, message.payload, now, actions);
        break;
      default:
        dave->on_welcome(*message.transition_id, message.payload, now, actions);
        break;
    }
  });
}

void Session::Machine::on(const PrepareTransition& message, Time now, Out& out) {
  counters.ignored_opcodes += dave ? 0 : 1;
  with_dave(out, [&](dave::Out& actions) {
    dave->on_prepare_transition(message.id, message.version, now, actions);
  });
}

void Session::Machine::on(const ExecuteTransition& message, Time now, Out& out) {
  counters.ignored_opcodes += dave ? 0 : 1;
  with_dave(out,
            [&](dave::Out& actions) { dave->on_execute_transition(message.id, now, actions); });
}

void Session::Machine::on(const PrepareEpoch& message, Time now, Out& out) {
  counters.ignored_opcodes += dave ? 0 : 1;
  with_dave(out, [&](dave::Out& actions) {
    dave->on_prepare_epoch(message.version, message.epoch, now, actions);
  });
}

}  // namespace discord::voice
