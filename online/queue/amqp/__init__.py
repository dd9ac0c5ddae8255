"""How RabbitMQ is spoken to; what a queue is to the services stands above."""
