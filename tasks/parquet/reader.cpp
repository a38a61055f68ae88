// The inside of libcohort_parquet.so: columns of Arrow's types to rows of JSON.
#include <arrow/api.h>
#include <arrow/util/float16.h>
#include <parquet/arrow/reader.h>

#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

#include "tasks/parquet.h"

namespace {

using Json = nlohmann::json;

constexpr int kMaxDepth = 64;  // as of JSON lines
constexpr int64_t kRowsAtOnce = 1024;

template <class Result>
auto value_of(Result&& result) {
  if (!result.ok()) throw std::runtime_error("not readable as parquet, " + result.status().message());
  return std::move(result).ValueOrDie();
}

/// The shortest decimal that reads back as the same float: 0.1, not 0.10000000149011612. JSON has no infinity.
Json json_of(float value) {
  if (!std::isfinite(value)) return nullptr;
  char text[32];
  return Json::parse(text, std::to_chars(text, text + sizeof text, value).ptr);
}

Json value_at(const arrow::Array& column, int64_t row, int depth);

Json list_of(const arrow::Array& values, int64_t begin, int64_t count, int depth) {
  Json list = Json::array();
  for (int64_t i = begin; i < begin + count; ++i) list.push_back(value_at(values, i, depth + 1));
  return list;
}

Json object_of(const arrow::StructArray& column, int64_t row, int depth) {
  Json object = Json::object();
  for (int i = 0; i < column.num_fields(); ++i)
    object[column.type()->field(i)->name()] = value_at(*column.field(i), row, depth + 1);
  return object;
}

Json object_of(const arrow::MapArray& column, int64_t row, int depth) {
  Json object = Json::object();
  for (int64_t i = column.value_offset(row); i < column.value_offset(row) + column.value_length(row); ++i) {
    const Json key = value_at(*column.keys(), i, depth + 1);
    if (!key.is_string()) throw std::runtime_error("a map has keys of type " + column.keys()->type()->ToString());
    object[key.get<std::string>()] = value_at(*column.items(), i, depth + 1);
  }
  return object;
}

template <class Array>
Json number_at(const arrow::Array& column, int64_t row) {
  return static_cast<const Array&>(column).Value(row);
}

template <class Array>
Json text_at(const arrow::Array& column, int64_t row) {
  return std::string(static_cast<const Array&>(column).GetView(row));
}

template <class Array>
Json list_at(const arrow::Array& column, int64_t row, int depth) {
  const auto& list = static_cast<const Array&>(column);
  return list_of(*list.values(), list.value_offset(row), list.value_length(row), depth);
}

Json value_at(const arrow::Array& column, int64_t row, int depth) {
  if (depth > kMaxDepth) throw std::runtime_error("nested deeper than " + std::to_string(kMaxDepth) + " levels");
  if (column.IsNull(row)) return nullptr;
  switch (column.type_id()) {
    case arrow::Type::NA:
      return nullptr;
    case arrow::Type::BOOL:
      return static_cast<const arrow::BooleanArray&>(column).Value(row);
    case arrow::Type::INT8:
      return number_at<arrow::Int8Array>(column, row);
    case arrow::Type::INT16:
      return number_at<arrow::Int16Array>(column, row);
    case arrow::Type::INT32:
      return number_at<arrow::Int32Array>(column, row);
    case arrow::Type::INT64:
      return number_at<arrow::Int64Array>(column, row);
    case arrow::Type::UINT8:
      return number_at<arrow::UInt8Array>(column, row);
    case arrow::Type::UINT16:
      return number_at<arrow::UInt16Array>(column, row);
    case arrow::Type::UINT32:
      return number_at<arrow::UInt32Array>(column, row);
    case arrow::Type::UINT64:
      return number_at<arrow::UInt64Array>(column, row);
    case arrow::Type::HALF_FLOAT:
      return json_of(
          arrow::util::Float16::FromBits(static_cast<const arrow::HalfFloatArray&>(column).Value(row)).ToFloat());
    case arrow::Type::FLOAT:
      return json_of(static_cast<const arrow::FloatArray&>(column).Value(row));
    case arrow::Type::DOUBLE: {
      const double value = static_cast<const arrow::DoubleArray&>(column).Value(row);
      return std::isfinite(value) ? Json(value) : Json();
    }
    case arrow::Type::STRING:
    case arrow::Type::BINARY:  // as older writers mark a text
      return text_at<arrow::BinaryArray>(column, row);
    case arrow::Type::LARGE_STRING:
    case arrow::Type::LARGE_BINARY:
      return text_at<arrow::LargeBinaryArray>(column, row);
    case arrow::Type::LIST:
      return list_at<arrow::ListArray>(column, row, depth);
    case arrow::Type::LARGE_LIST:
      return list_at<arrow::LargeListArray>(column, row, depth);
    case arrow::Type::FIXED_SIZE_LIST:
      return list_at<arrow::FixedSizeListArray>(column, row, depth);
    case arrow::Type::STRUCT:
      return object_of(static_cast<const arrow::StructArray&>(column), row, depth);
    case arrow::Type::MAP:
      return object_of(static_cast<const arrow::MapArray&>(column), row, depth);
    case arrow::Type::DICTIONARY: {
      const auto& coded = static_cast<const arrow::DictionaryArray&>(column);
      return value_at(*coded.dictionary(), coded.GetValueIndex(row), depth);
    }
    case arrow::Type::DATE32:
    case arrow::Type::DATE64:
    case arrow::Type::TIME32:
    case arrow::Type::TIME64:
    case arrow::Type::TIMESTAMP:
    case arrow::Type::DECIMAL128:
    case arrow::Type::DECIMAL256:
      return value_of(column.GetScalar(row))->ToString();
    default:
      throw std::runtime_error("values of type " + column.type()->ToString() + " have no form in JSON");
  }
}

std::string line_of(const arrow::RecordBatch& batch, int64_t row, int64_t number) {
  Json object = Json::object();
  for (int i = 0; i < batch.num_columns(); ++i) {
    const std::string& name = batch.column_name(i);
    try {
      object[name] = value_at(*batch.column(i), row, 1);
      object[name].dump();  // a text that is not UTF-8 ends here
    } catch (const Json::type_error&) {
      throw std::runtime_error("row " + std::to_string(number) + ", column " + name + ": its bytes are no UTF-8 text");
    } catch (const std::exception& error) {
      throw std::runtime_error("row " + std::to_string(number) + ", column " + name + ": " + error.what());
    }
  }
  return object.dump() + "\n";
}

void read(const char* path, void* context, void (*take)(void*, const char*, int64_t)) {
  parquet::arrow::FileReaderBuilder builder;
  if (const arrow::Status status = builder.OpenFile(path); !status.ok())
    throw std::runtime_error("not readable as parquet, " + status.message());
  parquet::ArrowReaderProperties properties;
  properties.set_batch_size(kRowsAtOnce);
  builder.properties(properties);
  const std::unique_ptr<parquet::arrow::FileReader> file = value_of(builder.Build());
  const auto batches = value_of(file->GetRecordBatchReader());
  int64_t number = 0;
  while (const std::shared_ptr<arrow::RecordBatch> batch = value_of(batches->Next()))
    for (int64_t row = 0; row < batch->num_rows(); ++row) {
      const std::string line = line_of(*batch, row, ++number);
      take(context, line.data(), int64_t(line.size()));
    }
}

}  // namespace

int32_t cohort_parquet_read(const char* path, void* context,
                            void (*take)(void* context, const char* text, int64_t size), char* error, int64_t size) {
  try {
    read(path, context, take);
    return 0;
  } catch (const std::exception& failure) {
    std::string what = failure.what();
    for (char& c : what)
      if (c == '\n') c = ' ';
    std::snprintf(error, size_t(size), "%s", what.c_str());
    return 1;
  }
}
