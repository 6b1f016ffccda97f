#include "certificate.hpp"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>

namespace discord::loopback {
namespace {

template <auto Free> struct Deleter {
  template <class T> void operator()(T* p) const { Free(p); }
};
using KeyPtr = std::unique_ptr<EVP_PKEY, Deleter<EVP_PKEY_free>>;
using CertPtr = std::unique_ptr<X509, Deleter<X509_free>>;
using BioPtr = std::unique_ptr<BIO, Deleter<BIO_free_all>>;

bool add_extension(X509* cert, X509* issuer, int nid, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, cert, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value);
  if (extension == nullptr) {
    return false;
  }
  const bool ok = X509_add_ext(cert, extension, -1) == 1;
  X509_EXTENSION_free(extension);
  return ok;
}

CertPtr make(const char* common_name, EVP_PKEY* key, X509* issuer, EVP_PKEY* issuer_key) {
  CertPtr cert(X509_new());
  if (!cert) {
    return nullptr;
  }
  std::uint64_t serial = 0;
  RAND_bytes(reinterpret_cast<unsigned char*>(&serial), sizeof serial);
  X509_set_version(cert.get(), 2);
  ASN1_INTEGER_set_uint64(X509_get_serialNumber(cert.get()), serial >> 1);
  X509_gmtime_adj(X509_getm_notBefore(cert.get()), -3600);
  X509_gmtime_adj(X509_getm_notAfter(cert.get()), 24 * 3600);
  X509_set_pubkey(cert.get(), key);
  X509_NAME* name = X509_get_subject_name(cert.get());
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(common_name), -1, -1, 0);
  X509* by = issuer != nullptr ? issuer : cert.get();
  X509_set_issuer_name(cert.get(), X509_get_subject_name(by));
  bool ok = true;
  if (issuer == nullptr) {
    ok = add_extension(cert.get(), by, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
         add_extension(cert.get(), by, NID_key_usage, "critical,keyCertSign,cRLSign") &&
         add_extension(cert.get(), by, NID_subject_key_identifier, "hash");
  } else {
    ok = add_extension(cert.get(), by, NID_basic_constraints, "critical,CA:FALSE") &&
         add_extension(cert.get(), by, NID_key_usage, "critical,digitalSignature") &&
         add_extension(cert.get(), by, NID_ext_key_usage, "serverAuth") &&
         add_extension(cert.get(), by, NID_subject_alt_name, "IP:127.0.0.1,IP:::1,DNS:localhost");
  }
  if (!ok || X509_sign(cert.get(), issuer_key, EVP_sha256()) == 0) {
    return nullptr;
  }
  return cert;
}

std::string text_of(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return {data, static_cast<std::size_t>(size)};
}

}  // namespace

Result<Certificate, std::string> make_certificate() {
  const std::string failed = "cannot make a certificate";
  KeyPtr ca_key(EVP_EC_gen("P-256"));
  KeyPtr key(EVP_EC_gen("P-256"));
  if (!ca_key || !key) {
    return Failure{failed};
  }
  const CertPtr ca = make("discord-loopback CA", ca_key.get(), nullptr, ca_key.get());
  if (!ca) {
    return Failure{failed};
  }
  const CertPtr leaf = make("localhost", key.get(), ca.get(), ca_key.get());
  BioPtr leaf_bio(BIO_new(BIO_s_mem()));
  BioPtr ca_bio(BIO_new(BIO_s_mem()));
  if (!leaf || PEM_write_bio_X509(leaf_bio.get(), leaf.get()) != 1 ||
      PEM_write_bio_PrivateKey(leaf_bio.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) !=
          1 ||
      PEM_write_bio_X509(ca_bio.get(), ca.get()) != 1) {
    return Failure{failed};
  }
  return Certificate{text_of(leaf_bio.get()), text_of(ca_bio.get())};
}

Result<std::string, std::string> write_ca_file(const Certificate& certificate) {
  std::string folder =
      (std::filesystem::temp_directory_path() / "discord-loopback-XXXXXX").string();
  if (mkdtemp(folder.data()) == nullptr) {
    return Failure{"cannot make a temporary folder like " + folder};
  }
  const std::string path = folder + "/ca.pem";
  std::ofstream file(path);
  file << certificate.ca_pem;
  file.close();
  if (!file) {
    return Failure{"cannot write " + path};
  }
  return path;
}

}  // namespace discord::loopback
