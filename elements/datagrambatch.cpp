// SPDX-License-Identifier: LGPL-2.1-or-later
#include "elements/datagrambatch.hpp"

namespace discord {

DatagramBatch::DatagramBatch() : pool_(gst_buffer_pool_new()) {
  GstStructure* config = gst_buffer_pool_get_config(pool_);
  gst_buffer_pool_config_set_params(config, nullptr, datagram_size, 2 * net::UdpSocket::max_batch,
                                    0);
  gst_buffer_pool_set_config(pool_, config);
  gst_buffer_pool_set_active(pool_, TRUE);
}

DatagramBatch::~DatagramBatch() {
  for (std::size_t i = 0; i < buffers_.size(); i++) {
    if (buffers_[i]) {
      gst_buffer_unmap(buffers_[i].get(), &maps_[i]);
      buffers_[i].reset();
    }
  }
  gst_buffer_pool_set_active(pool_, FALSE);
  gst_object_unref(pool_);
}

bool DatagramBatch::refill() {
  for (std::size_t i = 0; i < buffers_.size(); i++) {
    if (buffers_[i]) {
      continue;
    }
    GstBuffer* buffer = nullptr;
    if (gst_buffer_pool_acquire_buffer(pool_, &buffer, nullptr) != GST_FLOW_OK) {
      return false;
    }
    if (!gst_buffer_map(buffer, &maps_[i], GST_MAP_READWRITE)) {
      gst_buffer_unref(buffer);
      return false;
    }
    buffers_[i].reset(buffer);
    slots_[i] = {maps_[i].data, maps_[i].size};
  }
  return true;
}

std::size_t DatagramBatch::receive(net::UdpSocket& socket) {
  return refill() ? socket.receive(slots_, infos_) : 0;
}

BufferPtr DatagramBatch::take(std::size_t i) {
  gst_buffer_unmap(buffers_[i].get(), &maps_[i]);
  BufferPtr buffer = std::move(buffers_[i]);
  gst_buffer_set_size(buffer.get(), static_cast<gssize>(infos_[i].size));
  return buffer;
}

}  // namespace discord
