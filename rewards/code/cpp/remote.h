// Compiled into a test and into a program, each in a box of its own: the test's calls go over a socket as plain values,
// and so does what the program answers. A message is its length (4 bytes) and its bytes.
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <list>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace cohort_remote {

constexpr int kChannel = 4;

[[noreturn]] inline void stop(const char* why) {
  if (write(2, why, std::strlen(why)) < 0) _exit(2);
  _exit(1);
}

inline bool send(const std::string& bytes) {
  const uint32_t size = static_cast<uint32_t>(bytes.size());
  const std::string message = std::string(reinterpret_cast<const char*>(&size), 4) + bytes;
  for (size_t done = 0; done < message.size();) {
    const ssize_t wrote = write(kChannel, message.data() + done, message.size() - done);
    if (wrote <= 0) return false;
    done += static_cast<size_t>(wrote);
  }
  return true;
}

inline bool fill(char* to, size_t size) {
  for (size_t done = 0; done < size;) {
    const ssize_t got = read(kChannel, to + done, size - done);
    if (got <= 0) return false;
    done += static_cast<size_t>(got);
  }
  return true;
}

inline bool receive(std::string& bytes) {
  uint32_t size = 0;
  if (!fill(reinterpret_cast<char*>(&size), 4)) return false;
  bytes.clear();
  for (char chunk[65536]; size > 0;) {  // as it comes: a length alone reserves nothing
    const size_t part = size < sizeof chunk ? size : sizeof chunk;
    if (!fill(chunk, part)) return false;
    bytes.append(chunk, part);
    size -= static_cast<uint32_t>(part);
  }
  return true;
}

struct Reader {
  const char *at, *end;

  template <class T>
  T raw() {
    T value;
    if (end - at < static_cast<ptrdiff_t>(sizeof value)) stop("the program gave no plain value\n");
    std::memcpy(&value, at, sizeof value);
    at += sizeof value;
    return value;
  }
};

template <class T>
void put_raw(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

// Whole numbers travel as 64 bits and others as double, whatever a program's macros make of `int`.
template <class T, class = void>
struct Plain {
  static_assert(std::is_arithmetic_v<T>, "this type is no plain value");
  using Wire = std::conditional_t<std::is_floating_point_v<T>, double, int64_t>;
  static void put(std::string& out, T value) { put_raw(out, static_cast<Wire>(value)); }
  static T take(Reader& in) { return static_cast<T>(in.raw<Wire>()); }
};

template <>
struct Plain<std::string> {
  static void put(std::string& out, const std::string& value) {
    put_raw(out, static_cast<int64_t>(value.size()));
    out += value;
  }
  static std::string take(Reader& in) {
    const int64_t size = in.raw<int64_t>();
    if (size < 0 || size > in.end - in.at) stop("the program gave no plain value\n");
    in.at += size;
    return std::string(in.at - size, in.at);
  }
};

template <class A, class B>
struct Plain<std::pair<A, B>> {
  static void put(std::string& out, const std::pair<A, B>& value) {
    Plain<std::decay_t<A>>::put(out, value.first);
    Plain<B>::put(out, value.second);
  }
  static std::pair<A, B> take(Reader& in) {
    std::decay_t<A> first = Plain<std::decay_t<A>>::take(in);
    return {std::move(first), Plain<B>::take(in)};
  }
};

template <class T>
struct Plain<std::optional<T>> {
  static void put(std::string& out, const std::optional<T>& value) {
    put_raw(out, static_cast<int64_t>(value.has_value()));
    if (value) Plain<T>::put(out, *value);
  }
  static std::optional<T> take(Reader& in) {
    if (in.raw<int64_t>() == 0) return std::nullopt;
    return Plain<T>::take(in);
  }
};

template <class T>
struct Plain<
    T, std::void_t<typename T::value_type, decltype(std::declval<T&>().insert(
                                               std::declval<T&>().end(), std::declval<typename T::value_type>()))>> {
  using Member = std::conditional_t<std::is_same_v<T, std::vector<bool>>, bool, typename T::value_type>;
  static void put(std::string& out, const T& values) {
    put_raw(out, static_cast<int64_t>(values.size()));
    for (const auto& value : values) Plain<Member>::put(out, value);
  }
  static T take(Reader& in) {
    T values;
    for (int64_t left = in.raw<int64_t>(); left > 0; --left) values.insert(values.end(), Plain<Member>::take(in));
    return values;
  }
};

template <class K, class V>
struct Plain<std::pair<const K, V>> : Plain<std::pair<K, V>> {};

#ifdef BOOST_ANY_INCLUDED
template <>
struct Plain<boost::any> {
  template <class T>
  static bool put_as(std::string& out, const boost::any& value, char tag) {
    const T* held = boost::any_cast<T>(&value);
    if (held) out += tag, Plain<T>::put(out, *held);
    return held;
  }
  static void put(std::string& out, const boost::any& value) {
    const bool known = put_as<int>(out, value, 'i') || put_as<double>(out, value, 'd') ||
                       put_as<float>(out, value, 'f') || put_as<char>(out, value, 'c') ||
                       put_as<bool>(out, value, 'b') || put_as<long>(out, value, 'l') ||
                       put_as<long long>(out, value, 'q') || put_as<std::string>(out, value, 's') ||
                       put_as<std::vector<int>>(out, value, 'v') || put_as<std::list<boost::any>>(out, value, 'a');
    if (!known && !value.empty()) stop("an any holds no plain value\n");
    if (!known) out += 'n';
  }
  static boost::any take(Reader& in) {
    switch (in.raw<char>()) {
      case 'i':
        return Plain<int>::take(in);
      case 'd':
        return Plain<double>::take(in);
      case 'f':
        return Plain<float>::take(in);
      case 'c':
        return Plain<char>::take(in);
      case 'b':
        return Plain<bool>::take(in);
      case 'l':
        return Plain<long>::take(in);
      case 'q':
        return Plain<long long>::take(in);
      case 's':
        return Plain<std::string>::take(in);
      case 'v':
        return Plain<std::vector<int>>::take(in);
      case 'a':
        return Plain<std::list<boost::any>>::take(in);
      default:
        return {};
    }
  }
};
#endif

/// In the test: arguments that the program changed are changed here too.
template <class R, class... A>
R call(A&... arguments) {
  std::string message;
  (Plain<std::decay_t<A>>::put(message, arguments), ...);
  if (!send(message) || !receive(message)) stop("the program ended\n");
  Reader in{message.data(), message.data() + message.size()};
  const auto take_back = [&in](auto& argument) {
    using T = std::remove_reference_t<decltype(argument)>;
    auto value = Plain<std::decay_t<T>>::take(in);
    if constexpr (!std::is_const_v<T>) argument = std::move(value);
  };
  if constexpr (std::is_void_v<R>) {
    (take_back(arguments), ...);
  } else {
    R result = Plain<std::decay_t<R>>::take(in);
    (take_back(arguments), ...);
    return result;
  }
}

/// In the program: answers until the test is gone.
template <class R, class... A>
int serve(R (*function)(A...)) {
  for (std::string message; receive(message);) {
    Reader in{message.data(), message.data() + message.size()};
    std::tuple<std::decay_t<A>...> arguments{Plain<std::decay_t<A>>::take(in)...};
    std::string answer;
    std::apply(
        [&](auto&... each) {
          if constexpr (std::is_void_v<R>)
            function(each...);
          else
            Plain<std::decay_t<R>>::put(answer, function(each...));
          (Plain<std::decay_t<A>>::put(answer, each), ...);
        },
        arguments);
    if (!send(answer)) break;
  }
  return 0;
}

}  // namespace cohort_remote
