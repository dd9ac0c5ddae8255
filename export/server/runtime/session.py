"""TensorFlow's settings of a version's session, from the server's options."""

from etils import epath
from google.protobuf import text_format
from tensorflow.core.protobuf import config_pb2

from podway.export.server.error import ServerError
from podway.export.server.options import ServerOptions


def of(options: ServerOptions) -> config_pb2.ConfigProto:
    """The file's settings, and over them those of the flags. Raises ServerError."""
    config = config_pb2.ConfigProto()
    if options.tensorflow_session_config_file:
        where = f"tensorflow_session_config_file {options.tensorflow_session_config_file}"
        try:
            text = epath.Path(options.tensorflow_session_config_file).read_text()
            text_format.Parse(text, config)
        except (text_format.ParseError, UnicodeDecodeError) as error:
            raise ServerError(f"{where} is no ConfigProto: {error}") from error
        except OSError as error:
            raise ServerError(f"{where} cannot be read: {error.strerror or error}") from error
    both = options.tensorflow_session_parallelism
    if threads := options.tensorflow_intra_op_parallelism or both:
        config.intra_op_parallelism_threads = threads
    if threads := options.tensorflow_inter_op_parallelism or both:
        config.inter_op_parallelism_threads = threads
    if options.per_process_gpu_memory_fraction:
        fraction = options.per_process_gpu_memory_fraction
        config.gpu_options.per_process_gpu_memory_fraction = fraction
    return config
