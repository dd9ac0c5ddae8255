"""One protocol of queues, and what keeps it: a file, Kafka, Pub/Sub, RabbitMQ."""
